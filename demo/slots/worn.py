"""Details of clothes, soft accessories and shoes."""

from demo.slots import Slot

NECKLINE: Slot = {
    "round": ("a round neckline", "a rounded neck", "a crew neck"),
    "v": ("a V-neck", "a V-shaped neckline", "a plunging V neckline"),
    "square": ("a square neckline", "a squared-off neck", "a square-cut neckline"),
    "high": ("a high roll neck", "a tall turtleneck", "a folded high neck"),
}
SLEEVES: Slot = {
    "short": ("short sleeves", "sleeves that end above the elbow", "cropped short sleeves"),
    "elbow": ("elbow-length sleeves", "half-length sleeves", "sleeves down to the elbow"),
    "long": ("long sleeves", "full-length sleeves", "sleeves to the wrist"),
}
CHEST_POCKET: Slot = {
    "none": (),
    "chest pocket": ("a chest pocket", "one patch pocket on the chest", "a small breast pocket"),
}
STRAPS: Slot = {
    "thin": ("thin spaghetti straps", "skinny shoulder straps", "narrow straps"),
    "wide": ("wide shoulder straps", "broad straps", "thick shoulder straps"),
    "halter": ("a halter neck", "straps that tie behind the neck", "a halter fastening"),
}
TOP_HEM: Slot = {
    "straight": ("a straight hem", "an even hem"),
    "peplum": ("a flared peplum", "a peplum waist", "a frilled peplum hem"),
    "cropped": ("a cropped length", "a short cropped cut", "a midriff-baring cut"),
}
SHIRT_COLLAR: Slot = {
    "pointed": ("a pointed collar", "a classic spread collar", "a crisp turn-down collar"),
    "band": ("a band collar", "a collarless stand-up neck", "a grandad collar"),
}
SHIRT_POCKETS: Slot = {
    "none": (),
    "one": ("a single chest pocket", "one breast pocket"),
    "two": ("two flap pockets", "a pair of buttoned chest pockets", "twin flap pockets"),
}
KNIT_FRONT: Slot = {
    "smooth": (),
    "cable": ("cable braids down the front", "twisted cables on the front", "a cable-knit front"),
    "half zip": ("a half-length zip", "a quarter zip at the neck", "a short zip placket"),
}
HOODIE_FRONT: Slot = {
    "zip": ("a full-length zip", "a zip all the way down", "a zipped front"),
    "pullover": ("a closed pullover front", "a pull-on cut without a zip"),
}
HOODIE_POCKET: Slot = {
    "kangaroo": ("a kangaroo pocket", "a roomy pouch pocket", "a front pouch"),
    "none": (),
}
JACKET_COLLAR: Slot = {
    "ribbed": ("a ribbed bomber collar", "a knitted rib collar"),
    "lapel": ("wide biker lapels", "notched lapels", "broad folded lapels"),
    "stand": ("a tall stand collar", "a funnel neck", "an upright funnel collar"),
}
JACKET_POCKETS: Slot = {
    "patch": ("square patch pockets", "two boxy patch pockets"),
    "slanted": ("slanted side pockets", "angled welt pockets", "diagonal pockets"),
    "none": (),
}
JACKET_CLOSURE: Slot = {
    "zip": ("a zip front", "a chunky front zip", "a full zip"),
    "snaps": ("a row of press studs", "snap buttons", "a snap-fastened front"),
}
COAT_CLOSURE: Slot = {
    "single": ("a single row of buttons", "a single-breasted front"),
    "double": ("two rows of buttons", "a double-breasted front"),
    "belted": ("a tied waist sash", "a wrap front with a sash", "a knotted waist tie"),
}
COAT_COLLAR: Slot = {
    "notched": ("notched lapels", "a notched collar"),
    "shawl": ("a rounded shawl collar", "a soft shawl collar"),
    "hood": ("a big hood", "a roomy hood"),
}
COAT_LENGTH: Slot = {
    "short": ("a thigh-length cut", "a shorter, hip-covering length"),
    "long": ("a full-length cut", "a long, shin-grazing length"),
}
DRESS_NECK: Slot = {key: NECKLINE[key] for key in ("round", "v", "square")}
DRESS_SLEEVES: Slot = {
    "none": ("no sleeves", "a sleeveless cut", "bare shoulders"),
    "short": SLEEVES["short"],
    "long": SLEEVES["long"],
}
DRESS_SHAPE: Slot = {
    "a-line": ("a flared A-line shape", "an A-line flare", "a wide swinging hemline"),
    "straight": ("a straight column shape", "a slim straight cut"),
    "tiered": ("ruffled tiers", "a tiered lower half", "layers of ruffles"),
}
SKIRT_SHAPE: Slot = {
    "pleated": ("knife pleats", "crisp pleats all round", "pressed pleats"),
    "pencil": ("a narrow pencil cut", "a slim pencil shape"),
    "a-line": DRESS_SHAPE["a-line"],
    "tiered": DRESS_SHAPE["tiered"],
}
SKIRT_LENGTH: Slot = {
    "mini": ("a mini length", "a short above-knee length"),
    "midi": ("a midi length", "a mid-calf length"),
    "maxi": ("a floor-length hem", "a maxi length"),
}
SKIRT_FRONT: Slot = {"none": (), "buttons": ("buttons down the front", "a buttoned front")}
LEG: Slot = {
    "straight": ("straight legs", "a straight leg"),
    "wide": ("wide legs", "flared wide legs", "a sweeping wide leg"),
    "tapered": ("tapered legs", "legs that narrow to the ankle", "slim tapered legs"),
}
TROUSER_WAIST: Slot = {
    "drawstring": ("a drawstring waist", "a tied drawstring"),
    "buttoned": ("a buttoned waistband", "a flat front with one button"),
}
TROUSER_POCKETS: Slot = {
    "none": (),
    "cargo": ("cargo pockets on the thighs", "big flap pockets on the legs", "utility leg pockets"),
}
SHORTS_LENGTH: Slot = {
    "short": ("a short, thigh-high cut", "a very short leg"),
    "knee": ("a knee-length leg", "legs down to the knee"),
}
SHORTS_HEM: Slot = {"plain": (), "rolled": ("rolled-up hems", "turned-up cuffs", "folded cuffs")}
SCARF_ENDS: Slot = {
    "fringed": ("long fringes", "fringed ends", "a knotted fringe"),
    "pompoms": ("pompom ends", "round pompoms at the ends", "fluffy bobbles"),
    "plain": ("straight clean ends", "hemmed ends"),
}
SCARF_SHAPE: Slot = {
    "hanging": ("a long hanging drape", "two long hanging tails"),
    "looped": ("a chunky loop round the neck", "a wrapped loop", "a knotted loop"),
}
HAT_SHAPE: Slot = {
    "cap": ("a curved peak", "a baseball shape with a peak", "a sporty visor"),
    "beanie": ("a turned-up ribbed cuff", "a close-fitting beanie shape", "a slouchy beanie cut"),
    "brimmed": ("a wide flat brim", "a broad brim all round", "a fedora shape"),
}
HAT_TOPPER: Slot = {
    "none": (),
    "pompom": ("a pompom on the crown", "a fluffy bobble", "a big pompom"),
    "feather": ("a feather at the side", "a tucked-in feather"),
}
GLOVE_FINGERS: Slot = {
    "fingers": ("five separate fingers", "full fingers"),
    "mitten": ("a mitten shape", "one warm mitten pouch"),
    "fingerless": ("open fingertips", "a fingerless cut", "cut-off fingers"),
}
GLOVE_CUFF: Slot = {
    "ribbed": ("ribbed cuffs", "snug rib cuffs"),
    "flared": ("flared gauntlet cuffs", "wide flared cuffs"),
}
SOCK_HEIGHT: Slot = {
    "ankle": ("an ankle height", "a low ankle cut"),
    "crew": ("a mid-calf height", "a crew height"),
    "knee": ("a knee-high leg", "a tall knee-high cut"),
}
SOCK_TOP: Slot = {
    "ribbed": ("ribbed cuffs", "a ribbed opening"),
    "frilled": ("frilly cuffs", "a ruffled edge"),
    "banded": ("two sporty bands", "double bands near the edge"),
}
TIE_SHAPE: Slot = {
    "classic": ("a broad pointed blade", "a classic pointed blade"),
    "skinny": ("a skinny straight blade", "a narrow square-ended blade"),
    "bow": ("a ready-made bow", "a butterfly bow shape"),
}
BUCKLE: Slot = {
    "square": ("a square buckle", "a rectangular frame buckle"),
    "round": ("a round buckle", "a circular buckle"),
    "double ring": ("a double-ring fastening", "two linked rings"),
}
BELT_STUDS: Slot = {"none": (), "studs": ("studs along its length", "a row of round studs")}
UMBRELLA_HANDLE: Slot = {
    "crook": ("a curved crook handle", "a hooked cane handle"),
    "straight": ("a straight handle", "a stubby straight grip"),
}
UMBRELLA_EDGE: Slot = {
    "scalloped": ("a scalloped canopy", "a canopy with curved points"),
    "frilled": ("a frilled canopy edge", "a ruffled canopy"),
}
SNEAKER_HEIGHT: Slot = {
    "low": ("a low cut", "a low ankle-free profile"),
    "high": ("a high ankle collar", "a high-rise ankle"),
}
SNEAKER_CLOSURE: Slot = {
    "laces": ("criss-cross laces", "a lace-up front"),
    "straps": ("two touch-fasten straps", "hook-and-loop straps"),
    "slip-on": ("elastic slip-on sides", "a laceless slip-on cut"),
}
SNEAKER_SOLE: Slot = {
    "flat": ("a flat sole", "a thin level sole"),
    "chunky": ("a chunky moulded sole", "a thick wavy sole", "a bulky sole"),
}
BOOT_HEIGHT: Slot = {
    "ankle": ("an ankle height", "a short ankle shaft"),
    "calf": ("a mid-calf shaft", "a calf-high shaft"),
    "knee": ("a knee-high shaft", "a tall shaft to the knee"),
}
BOOT_CLOSURE: Slot = {
    "laces": ("front laces", "a laced front"),
    "zip": ("a side zip", "a zip along the inside"),
    "elastic": ("an elastic side panel", "stretch gussets", "pull-on elastic"),
}
HEEL: Slot = {
    "stiletto": ("a stiletto heel", "a needle-thin heel"),
    "block": ("a block heel", "a sturdy square heel"),
    "wedge": ("a wedge heel", "a solid wedge"),
}
BOOT_HEEL: Slot = {"flat": ("a flat heel", "a low flat base"), "block": HEEL["block"]}
TOE: Slot = {
    "pointed": ("a pointed toe", "a sharp toe"),
    "round": ("a rounded toe", "a softly round toe"),
    "peep": ("a peep toe", "an open toe"),
}
ANKLE_STRAP: Slot = {"none": (), "ankle strap": ("an ankle strap", "a buckled strap round the ankle")}
SANDAL_STRAPS: Slot = {
    "crossed": ("crossed straps", "straps that cross over the foot"),
    "t-bar": ("a T-bar strap", "a T-shaped strap"),
    "two bands": ("two broad bands", "a pair of wide bands"),
}
SANDAL_SOLE: Slot = {
    "flat": ("a flat sole", "a thin flat footbed"),
    "platform": ("a thick platform", "a raised platform sole"),
    "wedge": HEEL["wedge"],
}
