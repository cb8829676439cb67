"""What shops call their columns, in a few languages: for guessing which column is which product field.

Names are compared in small letters, without accents and signs. The better name of two comes first.
"""

import re
import unicodedata
from collections.abc import Iterator

_WORDS = {
    "id": """id sku product_id item_id article_id product_code item_code article_number article_no item_number item_no
        part_number style_number artikelnummer artikel_nr art_nr produkt_id produktnummer reference ref identifiant
        reference_produit referencia codigo codice codice_articolo referentie artikelcode kod_produktu indeks uniq_id
        asin handle code mpn ean gtin upc""",
    "title": """title name product_name product_title item_name display_name product_display_name prod_name titel
        produktname produkttitel artikelbezeichnung bezeichnung artikelname titre nom nom_produit libelle designation
        titulo nombre nombre_producto titolo nome nome_prodotto nome_do_produto productnaam naam nazwa nazwa_produktu
        headline""",
    "description": """description product_description long_description full_description item_description body_html
        body desc detail_desc details short_description beschreibung produktbeschreibung langbeschreibung
        artikelbeschreibung kurzbeschreibung description_longue descripcion descripcion_larga descrizione
        descrizione_lunga descricao omschrijving beschrijving opis opis_produktu caption about""",
    "brand": """brand brand_name vendor manufacturer maker designer marke markenname hersteller marque fabricant
        marca fabricante produttore merk fabrikant marka producent""",
    "category": """category category_name product_category product_type article_type product_type_name item_type
        sub_category main_category master_category type kategorie produktkategorie warengruppe produkttyp kategoriename
        categorie categorie_produit type_de_produit categoria categoria_producto tipo tipo_de_producto
        productcategorie kategoria kategorie_produktu department""",
    "season": "season season_name saison jahreszeit temporada stagione estacao seizoen sezon",
    "composition": """composition material materials material_composition fabric zusammensetzung materialzusammensetzung
        materialien stoff matiere materiau composicion tejido composizione materiale tessuto composicao materiaal
        samenstelling sklad material_type""",
    "price": """price sale_price selling_price current_price final_price price_amount offer_price preis verkaufspreis
        bruttopreis preis_brutto endpreis prix prix_ttc prix_de_vente precio precio_venta pvp prezzo prezzo_vendita
        preco preco_venda prijs verkoopprijs cena cena_brutto regular_price list_price retail_price unit_price
        discounted_price""",
    "currency": """currency currency_code price_currency wahrung waehrung devise monnaie moneda divisa valuta moeda
        waluta""",
    "in_stock": """in_stock availability available is_available is_in_stock stock_status verfugbar verfuegbar
        verfugbarkeit verfuegbarkeit lieferbar vorratig vorraetig en_stock disponible disponibilite disponibilidad
        disponibile disponibilita disponivel op_voorraad dostepny dostepnosc stock""",
    "url": """url link product_url product_link page_url permalink deep_link web_url canonical_url produkt_url
        produktlink lien url_produit enlace url_producto collegamento""",
    "group": """group group_id item_group_id product_group_id parent_id parent_sku style_id style_code model_code
        master_id family_id variant_group parent""",
    "images": """images image image_urls image_url image_links image_link image_src product_images product_image
        main_image primary_image picture pictures picture_url photo photos photo_url img img_url img_src image_path
        thumbnail bild bilder bild_url bildlink produktbild bildpfad foto fotos immagine immagini url_immagine imagen
        imagenes url_imagen imagem imagens afbeelding afbeeldingen zdjecie zdjecia image_1 image1 file_name filename""",
}
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
# A column of such a name is about what stands before, not it: `brand_id` is no brand.
_ABOUT = frozenset({"id", "code", "nr", "no", "count", "url", "link", "slug", "rank", "date", "alt", "hash", "length"})


def plain_name(name: str) -> str:
    """Return a column's name in small letters, without accents, signs and spaces."""
    return "".join(_parts(name))


def _parts(name: str) -> list[str]:
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return [part.casefold() for part in _PARTS.findall(bare)]


SYNONYMS: dict[str, dict[str, int]] = {
    field: {plain_name(word): rank for rank, word in reversed(list(enumerate(words.split())))}
    for field, words in _WORDS.items()
}


def name_score(field: str, column: str) -> float | None:
    """Return how well a column's name fits a product field, the lower the better; None if it does not at all.

    0: it is the field's own name; below 1,000: one of the names above; from 1,000 on: a part of it is.
    """
    if column == field:
        return 0.0
    known = SYNONYMS[field]
    parts = _parts(column)
    whole = "".join(parts)
    if whole in known:
        return 1.0 + known[whole]
    scores = [1_000.0 + known[run] + 10 * left for run, left in _runs(parts) if run in known]
    return min(scores, default=None)


def _runs(parts: list[str]) -> Iterator[tuple[str, int]]:
    """Yield neighbouring parts of a name, joined, with the number of those left over."""
    for first in range(len(parts)):
        for last in range(first + 1, len(parts) + 1):
            if last == len(parts) or parts[-1] not in _ABOUT:
                yield "".join(parts[first:last]), len(parts) - (last - first)
