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
PARTS = frozenset(
    {
        *(*SPLIT_NAMES, "test", "testing", "trainval", "trainset", "testset", "valset", "eval", "evaluation"),
        *("trainingsdaten", "trainingsset", "trainingssatz", "testdaten", "testsatz", "validierung", "abfrage"),
        *("validierungsdaten", "abfragen", "anfrage", "anfragen", "galerie", "entrainement", "apprentissage"),
        *("requete", "requetes", "entrenamiento", "consulta", "consultas", "galeria", "prueba", "pruebas"),
        *("validacion", "addestramento", "allenamento", "convalida", "validazione", "interrogazione", "galleria"),
        *("训练", "训练集", "测试", "测试集", "验证", "验证集", "查询", "查询集", "图库", "图库集"),
    }
)
"""Words for the parts of a data set, without accents: in English, German, French, Spanish, Italian and Chinese."""
LETTERS_OF_PARTS = frozenset({"q", "g", "t"})
"""Letters for query, gallery and train; they count only next to each other."""
HOLDERS = frozenset(
    {
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "crop", "crops", "cropped"),
        *("frame", "frames", "data", "dataset", "datasets", "people", "persons", "identities", "ids"),
        *("jpg", "jpeg", "png", "bmp", "labeled", "labelled", "detected", "raw"),
        *("foto", "fotos", "bild", "bilder", "imagen", "imagenes", "immagine", "immagini", "照片", "图片", "图像"),
        *("rgb", "ir", "nir", "ni", "tir", "ti", "th", "vis", "visible", "infrared", "thermal", "near"),
    }
)
"""Words that say only that a folder holds images, or images of one kind."""
FURTHER = frozenset(
    {
        *("all", "bounding", "bbox", "box", "boxes", "list", "lists", "mask", "multi", "new", "set", "sets"),
        *("split", "splits", "v", "from"),
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
        *("kw", "marz", "fevrier", "aout", "decembre", "miercoles", "sabado", "lunedi", "martedi", "mercoledi"),
        *("giovedi", "venerdi", "sabato", "domenica", "gennaio", "febbraio", "aprile", "maggio", "giugno", "luglio"),
        *("settembre", "ottobre", "dicembre", "fruhling", "sommer", "herbst", "ete", "hiver", "verano", "invierno"),
    }
)
"""Words for times."""
GROUPS = frozenset(
    {
        *("batch", "batches", "chunk", "fold", "folds", "group", "part", "session", "sessions", "shard", "split"),
        *("subset", "experiment", "exp", "trial", "round", "visit", "recording", "collection", "volume", "set"),
        *("predict", "prediction", "predictions", "detect", "detection", "detections", "inference", "runs"),
        *("result", "results", "output", "outputs"),
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
RECORDINGS = frozenset(
    {
        *("video", "videos", "vid", "clip", "clips", "recording", "recordings", "footage", "movie", "film", "stream"),
        *("seq", "sequence", "sequences", "aufnahme", "aufnahmen", "mp", "avi", "mkv", "mov"),
    }
)
"""Words for recordings in which several people may be."""
VERSIONS = frozenset(
    {"backup", "backups", "current", "previous", "before", "after", "vorher", "nachher", "avant", "apres"}
)
"""Words for states of a whole collection."""
DEVICES = frozenset(
    {
        *(
            "whatsapp",
            "whats",
            "app",
            "telegram",
            "signal",
            "instagram",
            "facebook",
            "messenger",
            "snapchat",
            "screenshot",
            "dcim",
        ),
        *("screenshots", "bildschirmfotos", "download", "downloads", "camera", "roll", "saved", "bluetooth", "sent"),
    }
)
"""Words in the names of the folders that phones and computers make for pictures."""
OBJECTS = frozenset(
    {
        *("person", "pedestrian", "human", "vehicle", "car", "truck", "bus", "bicycle", "bike", "motorcycle"),
        *("backpack", "handbag", "suitcase", "dog", "cat"),
    }
)
"""Words for kinds of objects, after which detectors name folders of crops."""
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
        *(
            "eingang",
            "ausgang",
            "kasse",
            "tur",
            "tor",
            "flur",
            "hof",
            "lager",
            "parkplatz",
            "treppe",
            "keller",
            "halle",
        ),
        *("entree", "sortie", "couloir", "caisse", "entrada", "salida", "pasillo", "caja", "ingresso", "uscita"),
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
SETS = frozenset({"class", "cluster", "label", "name", "object", "obj"})
"""Those of them that may also mean several people."""
