"""An HTML page as tests look at it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Checks that elements close in order, and keeps what a test asks for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.names, self.links, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.links += [value for key, value in attrs if key in {"src", "href", "srcset", "action"}]
        assert not any(key.startswith("on") for key, _ in attrs)
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
