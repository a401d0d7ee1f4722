"""Words in the names of folders that are not people's names, in lower case."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scing_cli.core.manifest import SPLITS

SPLIT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **dict(zip(SPLITS, SPLITS, strict=True)),
        "training": "train",
        "valid": "val",
        "validation": "val",
        "queries": "query",
        "probe": "query",
        "probes": "query",
        "galleries": "gallery",
    }
)
"""Folder names that name a split, in lower case. `test` is the gallery where a folder holds the queries."""
PARTS = frozenset({*SPLIT_NAMES, "test", "testing", "trainval", "trainset", "testset", "valset", "eval", "evaluation"})
"""Words for the parts of a data set."""
HOLDERS = frozenset(
    {
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "crop", "crops", "cropped"),
        *("frame", "frames", "data", "dataset", "datasets", "people", "persons", "identities", "ids"),
        *("jpg", "jpeg", "png", "bmp", "labeled", "labelled", "detected", "raw"),
        *("rgb", "ir", "nir", "ni", "tir", "ti", "th", "vis", "visible", "infrared", "thermal", "near"),
    }
)
"""Words that say only that a folder holds images, or images of one kind."""
FURTHER = frozenset(
    {
        *("all", "bounding", "bbox", "box", "boxes", "list", "lists", "mask", "multi", "new", "set", "sets"),
        *("split", "splits", "v"),
    }
)
"""Words that may be next to the others."""
TIMES = frozenset(
    {
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "weekend", "weekday"),
        *("mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun"),
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
        *("montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "januar", "februar"),
        *("mai", "juni", "juli", "oktober", "dezember", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"),
        *("dimanche", "janvier", "mars", "avril", "juin", "juillet", "septembre", "octobre", "novembre", "lunes"),
        *("martes", "jueves", "viernes", "domingo", "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio"),
        *("agosto", "septiembre", "octubre", "noviembre", "diciembre", "tag", "woche", "monat", "jour", "semaine"),
        *("day", "days", "week", "weeks", "month", "months", "year", "years", "hour", "date", "today", "yesterday"),
        *("morning", "noon", "afternoon", "evening", "night", "spring", "summer", "autumn", "fall", "winter"),
    }
)
"""Words for times."""
GROUPS = frozenset(
    {
        *("batch", "batches", "chunk", "fold", "folds", "group", "part", "session", "sessions", "shard", "split"),
        *("subset", "experiment", "exp", "trial", "round", "visit", "recording", "collection", "volume", "set"),
    }
)
"""Words for portions of a collection."""
TRACKS = frozenset(
    {
        *("track", "tracks", "tracklet", "tracklets", "traj", "trajectory", "seq", "sequence", "sequences", "clip"),
        *("clips", "video", "videos", "vid", "shot", "shots", "take", "run", "walk", "segment", "burst", "event"),
    }
)
"""Words for recordings of one person."""
ASPECTS = frozenset(
    {
        *("face", "faces", "head", "heads", "body", "bodies", "full", "fullbody", "whole", "upper", "lower", "half"),
        *("torso", "leg", "legs", "hand", "hands", "gait", "silhouette", "silhouettes", "pose", "poses", "skeleton"),
        *("mask", "masks", "depth", "color", "colour", "gray", "grey", "original", "originals", "augmented", "aug"),
        *("front", "back", "side", "left", "right", "profile", "standing", "sitting", "walking", "running", "coat"),
        *("clothes", "clothing", "outfit", "bag", "normal", "occluded", "partial", "good", "bad", "old", "new"),
        *("male", "female", "males", "females", "men", "women", "adults", "children", "positive", "negative", "pos"),
        *("neg", "background", "unknown", "unlabeled", "unlabelled", "none", "noise", "junk", "distractors", "trash"),
        *("misc", "other", "others", "selfie", "selfies", "portrait", "portraits", "closeup", "unsorted", "sorted"),
    }
)
"""Words for parts, views and states of a person, or of images."""
PLACES = frozenset(
    {
        *("door", "doors", "gate", "gates", "entrance", "entry", "exit", "yard", "courtyard", "backyard", "hall"),
        *("hallway", "corridor", "lobby", "foyer", "reception", "parking", "garage", "street", "road", "stairs"),
        *("staircase", "stairwell", "elevator", "lift", "escalator", "kitchen", "garden", "roof", "platform"),
        *("station", "office", "room", "rooms", "floor", "floors", "basement", "building", "site", "sites", "location"),
        *("loc", "place", "area", "zone", "store", "shop", "mall", "checkout", "aisle", "desk", "cafeteria", "canteen"),
        *("library", "gym", "campus", "bridge", "tunnel", "square", "plaza", "park", "terrace", "porch", "driveway"),
        *("warehouse", "airport", "terminal", "inside", "outside", "indoor", "indoors", "outdoor", "outdoors", "lab"),
        *("cctv", "webcam", "gopro", "dashcam", "bodycam", "doorbell", "drone", "phone", "iphone", "laptop", "tablet"),
    }
)
"""Words for places where cameras may be, and for cameras in a place."""
WHERE = frozenset(
    {*("north", "south", "east", "west", "front", "back", "rear", "main", "side", "left", "right", "upper", "lower")}
)
"""Words that tell places apart."""
PEOPLE = frozenset(
    {
        *("person", "people", "pers", "id", "pid", "identity", "ident", "subject", "subj", "sub", "user", "worker"),
        *("student", "actor", "man", "woman", "player", "target", "human", "individual", "participant", "volunteer"),
        *("employee", "member", "child", "kid", "guest", "visitor", "suspect", "pedestrian", "ped", "name", "label"),
        *("class", "cluster", "vehicle", "car", "object", "obj", "patient", "staff", "customer", "girl", "boy"),
    }
)
"""Words for people and other things that have an identity."""
