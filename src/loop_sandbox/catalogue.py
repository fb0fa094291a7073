"""The three brands of the sandbox and what they sell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations

from loop_sandbox.dice import Dice
from loop_sandbox.model import Brand, Product


@dataclass(frozen=True, slots=True)
class _Range:
    """A style with its colors and sizes; price in cents."""

    style: str
    code: str
    title: str
    price: int
    colors: tuple[str, ...]
    sizes: tuple[str, ...]


_CLOTHES = ("XS", "S", "M", "L", "XL")
_SHOES = ("US 7/EU 40", "US 8/EU 41", "US 9/EU 42", "US 10/EU 43", "US 11/EU 44")

_NORTHPINE = (
    _Range("TRAILTEE", "TT", "Trail Tee", 3800, ("Red", "Moss", "Navy"), _CLOTHES),
    _Range("RIDGEHOODIE", "RH", "Ridge Hoodie", 8900, ("Charcoal", "Oat"), _CLOTHES),
    _Range("FELLPANT", "FP", "Fell Pant", 11200, ("Black", "Olive"), _CLOTHES),
    _Range("PINEPARKA", "PP", "Pine Parka", 24900, ("Forest",), _CLOTHES),
    _Range("CAMPSOCK", "CS", "Camp Sock 2-Pack", 1900, ("Grey", "Rust"), ("S/M", "L/XL")),
)
_LUMEN = (
    _Range("DAYSERUM", "DS", "Day Serum", 4200, ("Clear",), ("30 ml", "50 ml")),
    _Range("NIGHTBALM", "NB", "Night Balm", 5600, ("Amber",), ("30 ml", "50 ml")),
    _Range("CLAYMASK", "CM", "Clay Mask", 2900, ("White", "Pink"), ("75 ml",)),
    _Range("SUNVEIL", "SV", "Sun Veil SPF 50", 3400, ("Tinted", "Clear"), ("40 ml", "80 ml")),
    _Range("LIPDEW", "LD", "Lip Dew", 1600, ("Rose", "Fig", "Clear"), ("10 ml",)),
    _Range("STARTERSET", "SS", "Starter Set & Pouch", 8800, ("NA",), ("One Size",)),
)
_TIDEWATER = (
    _Range("HARBORBOOT", "HB", "Harbor Boot", 18900, ("Tan", "Black"), _SHOES),
    _Range("DOCKSHOE", "DK", "Dock Shoe", 12900, ("Navy", "Sand"), _SHOES),
    _Range("SHOALRUNNER", "SR", "Shoal Runner", 14500, ("White", "Teal"), _SHOES),
    _Range("MARSHCLOG", "MC", "Marsh Clog", 7900, ("Green",), _SHOES),
)


def upc(number: int) -> str:
    """A 12-digit UPC-A with its check digit, from an 11-digit number."""
    digits = f"{number:011d}"
    total = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(digits))
    return digits + str(-total % 10)


def make_brands(seed: int, warehouse: str) -> list[Brand]:
    """The brands with their keys and catalogues, without any return yet."""
    return [
        _brand(seed, 0, "northpine", "Northpine Apparel", "NP", _NORTHPINE, warehouse),
        _brand(seed, 1, "lumen", "Lumen Skincare", "LS", _LUMEN, warehouse),
        _brand(seed, 2, "tidewater", "Tidewater Footwear", "TW", _TIDEWATER, warehouse),
    ]


def unknown_to_rex11(catalogue: list[Product]) -> list[Product]:
    """The products that the warehouse was never told of."""
    return [catalogue[len(catalogue) // 3], catalogue[-1]]


def _brand(
    seed: int,
    number: int,
    slug: str,
    name: str,
    prefix: str,
    ranges: tuple[_Range, ...],
    warehouse: str,
) -> Brand:
    dice = Dice(seed, "brand", slug)
    return Brand(
        slug=slug,
        name=name,
        prefix=prefix,
        shop_id=4100 + number,
        loop_key=f"loop-{slug}-{_secret(dice)}",
        webhook_secret=f"whsec-{_secret(dice)}",
        web_address=f"{slug}.example.com",
        user_name=f"{slug}-api",
        password=f"pw-{_secret(dice)}",
        warehouse=warehouse,
        catalogue=_products(number, prefix, ranges),
    )


def _secret(dice: Dice) -> str:
    return f"{dice.whole(0, 2**32 - 1):08x}{dice.whole(0, 2**32 - 1):08x}"


def _products(number: int, prefix: str, ranges: tuple[_Range, ...]) -> list[Product]:
    products: list[Product] = []
    base = 85_000_000_000 + number * 1_000_000
    for style_number, style in enumerate(ranges):
        for color, size in combinations(style.colors, style.sizes):
            n = len(products)
            size_code = size.split("/")[0].replace(" ", "").upper()
            code = upc(base + n * 17)
            products.append(
                Product(
                    sku=f"{prefix}-{style.code}-{color[:3].upper()}-{size_code}",
                    upc=code,
                    style=style.style,
                    color=color,
                    size=size,
                    title=f"{style.title} - {color} / {size}",
                    price=style.price,
                    product_id=7_000_000 + number * 100_000 + style_number,
                    variant_id=42_000_000 + number * 100_000 + n,
                    # One variant of each brand has no barcode in the shop, as shops do.
                    shop_barcode="" if n == 1 else code,
                )
            )
    return products
