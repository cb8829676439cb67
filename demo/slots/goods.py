"""Details of bags, jewellery, kitchenware and things for the home."""

from demo.slots import Slot

BACKPACK_CLOSURE: Slot = {
    "flap": ("a buckled flap", "a fold-over flap with buckles"),
    "zip": ("a curved zip", "a zip around the lid"),
    "roll": ("a rolled closure", "a roll-down opening"),
}
BACKPACK_POCKETS: Slot = {
    "one": ("one big front pocket", "a large outer pocket"),
    "two": ("two small outer pockets", "twin outer pockets"),
}
HANDBAG_SHAPE: Slot = {
    "trapezoid": ("a trapezoid body", "a body that widens to the base"),
    "half moon": ("a half-moon body", "a rounded half-moon shape"),
    "box": ("a boxy body", "a structured box shape"),
}
HANDBAG_HANDLE: Slot = {
    "handle": ("a rigid carry handle", "an arched carry handle"),
    "chain": ("a chain strap", "a shoulder chain"),
    "long strap": ("a long crossbody strap", "a slim long strap"),
}
CLUTCH_SHAPE: Slot = {
    "envelope": ("an envelope flap", "a triangular flap"),
    "oval": ("an oval outline", "a rounded oval body"),
    "fan": ("a fan outline", "a shell-like fan shape"),
}
CLASP: Slot = {
    "ball": ("a kiss-lock clasp", "a double-ball clasp"),
    "ring": ("a wrist ring", "a ring to slip over the wrist"),
    "bow": ("a bow on the front", "a decorative bow"),
}
CASE_SHELL: Slot = {
    "ribbed": ("vertical grooves", "a grooved shell"),
    "cornered": ("reinforced corners", "corner guards"),
    "strapped": ("two buckled straps", "luggage straps around it"),
}
CASE_HANDLE: Slot = {
    "trolley": ("a pull-out trolley handle", "a tall telescopic handle"),
    "grip": ("a short carry grip", "a simple carry grip"),
}
DIAL: Slot = {
    "round": ("a round dial", "a circular case"),
    "square": ("a square dial", "a square case"),
    "octagonal": ("an octagonal case", "an eight-sided case"),
}
WATCH_STRAP: Slot = {
    "links": ("a linked bracelet", "a bracelet of links"),
    "smooth": ("a smooth strap", "a stitched plain strap"),
    "perforated": ("a perforated strap", "a strap with round holes"),
}
MARKERS: Slot = {
    "dots": ("dot markers", "round hour dots"),
    "bars": ("bar markers", "slim hour batons"),
    "sub-dials": ("three sub-dials", "small chronograph sub-dials"),
}
FRAME: Slot = {
    "round": ("round rims", "circular rims"),
    "cat-eye": ("upswept cat-eye rims", "cat-eye corners"),
    "square": ("square rims", "chunky square rims"),
    "aviator": ("teardrop aviator rims", "aviator rims with a double bridge"),
}
LENS: Slot = {
    "gradient": ("graduated lenses", "lenses that fade downward"),
    "mirror": ("mirrored lenses", "lenses with a mirror streak"),
}
STONE: Slot = {
    "round": ("a round-cut stone", "one brilliant round stone"),
    "emerald": ("a rectangular stone", "a step-cut rectangular stone"),
    "trio": ("three stones in a row", "a trio of stones"),
    "flower": ("a flower of small stones", "stones set as a flower"),
}
BAND: Slot = {
    "plain": ("a plain band", "a smooth band"),
    "twisted": ("a twisted band", "a rope-like twisted band"),
}
PENDANT: Slot = {
    "drop": ("a teardrop pendant", "a drop-shaped pendant"),
    "heart": ("a heart pendant", "a heart-shaped charm"),
    "disc": ("a disc pendant", "a round medallion"),
    "bar": ("a vertical bar pendant", "a slim bar pendant"),
}
CHAIN: Slot = {
    "fine": ("a fine chain", "a delicate chain"),
    "beads": ("a string of beads", "a beaded string"),
}
EARRING: Slot = {
    "hoops": ("large hoops", "open hoops with a bead"),
    "drops": ("long drops", "dangling teardrops"),
    "studs": ("flower-like studs", "clustered studs"),
    "chandelier": ("chandelier tiers", "fan-shaped chandelier tassels"),
}
MUG_SHAPE: Slot = {
    "straight": ("straight sides", "a cylinder body"),
    "rounded": ("a round-bellied body", "bulging sides"),
    "tapered": ("a body that narrows to the base", "tapered sides"),
}
MUG_HANDLE: Slot = {
    "round": ("a round handle", "a C-shaped handle"),
    "angular": ("an angular handle", "a squared handle"),
}
POT_HANDLE: Slot = {
    "loops": ("two loop handles", "a loop handle on each side"),
    "long": ("one long handle", "a single long grip"),
}
POT_LID: Slot = {
    "domed": ("a domed lid", "a high curved lid"),
    "flat": ("a flat lid", "a low level lid"),
}
KETTLE_SPOUT: Slot = {
    "gooseneck": ("a gooseneck spout", "a slender swan-like spout"),
    "short": ("a short spout", "a stubby spout"),
}
KETTLE_HANDLE: Slot = {
    "arched": ("an arched handle over the lid", "a bail handle overhead"),
    "side": ("a side handle", "a handle at the back"),
}
BOWL_SHAPE: Slot = {
    "footed": ("a raised foot", "a pedestal foot"),
    "deep": ("deep steep sides", "a deep round body"),
    "shallow": ("a wide shallow body", "low spreading sides"),
}
BOWL_RIM: Slot = {
    "smooth": (),
    "wavy": ("a wavy rim", "a fluted rim"),
    "handles": ("two small ear handles", "a pair of lug handles"),
}
BOTTLE_CAP: Slot = {
    "screw": ("a ridged screw cap", "a screw cap"),
    "loop": ("a carry loop on the cap", "a loop cap"),
    "straw": ("a drinking straw", "a flip-up straw"),
}
BOTTLE_SHAPE: Slot = {
    "slim": ("a slim body", "a tall slim body"),
    "wide": ("a wide body", "a broad sturdy body"),
    "waisted": ("a waist to grip", "a pinched waist"),
}
LAMP_SHADE: Slot = {
    "cone": ("a cone shade", "a tapered shade"),
    "drum": ("a drum shade", "a straight cylinder shade"),
    "dome": ("a dome shade", "a mushroom-like dome"),
}
LAMP_BASE: Slot = {
    "ball": ("a ball-shaped base", "a spherical base"),
    "column": ("a turned column", "a stacked column base"),
    "tripod": ("tripod legs", "three splayed legs"),
}
CUSHION_SHAPE: Slot = {
    "square": ("a square shape", "a square format"),
    "round": ("a round shape", "a circular shape"),
    "oblong": ("an oblong shape", "a long lumbar shape"),
}
CUSHION_EDGE: Slot = {
    "tassels": ("tassels at the edge", "corner tassels"),
    "piping": ("piped edges", "corded piping"),
    "ruffles": ("a ruffled edge", "a frilled border"),
}
VASE_SHAPE: Slot = {
    "bottle": ("a narrow bottle neck", "a long slender neck"),
    "bellied": ("a bellied body", "a big round belly"),
    "cylinder": ("a cylinder body", "a straight cylinder shape"),
    "hourglass": ("an hourglass outline", "a waisted outline"),
}
VASE_HANDLES: Slot = {"none": (), "handles": ("two curved handles", "a handle on each side")}
CLOCK_SHAPE: Slot = {
    "round": ("a round face", "a circular frame"),
    "square": ("a square frame", "a four-cornered frame"),
    "sunburst": ("a sunburst frame", "rays all around the frame"),
}
CLOCK_MARKERS: Slot = {key: MARKERS[key] for key in ("dots", "bars")}
CLOCK_EXTRA: Slot = {"none": (), "pendulum": ("a swinging pendulum", "a pendulum below")}
