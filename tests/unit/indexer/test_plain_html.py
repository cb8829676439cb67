import time

import pytest

from indexer.plain_html import plain_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            "<p>Soft &amp; light.</p><ul><li>100% cotton</li><li>Made in Italy</li></ul>",
            "Soft & light. 100% cotton Made in Italy",
        ),
        ("one<br>two<br/>three", "one two three"),
        ("<p>re<b>mark</b>able <span>fit</span></p>", "remarkable fit"),
        ("&eacute;t&#233; &#x2013; &lt;3 &nbsp;l", "été – <3 l"),
        ("<style>p { color: red }</style><script>alert('x')</script>Shown", "Shown"),
        ("<!-- hidden -->Shown<!-- so -->", "Shown"),
        ("a < b and c > d", "a < b and c > d"),
        ("Black & White", "Black & White"),
        ("plain  text\n with lines", "plain text with lines"),
        ('<img src="data:image/png;base64,AAAA" alt="x">after', "after"),
        ("<p>never closed <b>bold", "never closed bold"),
        ("<table><tr><td>Width</td><td>30 cm</td></tr></table>", "Width 30 cm"),
        ("<a title=\"x > y\" href='z>'>named</a>", "named"),
        ("5 <b and no end", "5 <b and no end"),
        ('quote <a href="open>never closed</a> on', "quote never closed on"),
        ("it's <a title=it's>fine</a>", "it's fine"),
        ("&#" + "9" * 5_000 + ";", "9" * 5_000 + ";"),
        ("", ""),
        ("<p></p>", ""),
    ],
)
def test_what_a_reader_sees(html, text):
    assert plain_text(html) == text


@pytest.mark.parametrize("piece", ["<", "<a", "<!--", "&", "<p>", "<![CDATA[", '<a b="', "<style>", '<a b=">', "="])
def test_hostile_text_takes_no_time(piece):
    start = time.process_time()
    plain_text(piece * 20_000)
    assert time.process_time() - start < 1
