"""Draw synthetic data sets: rendered pedestrians in groups of look-alikes, seen by cameras that differ in look.

`write_world` writes a whole data set. `draw_people`, `draw_cameras` and `render` draw single images with captions, for
use in scripts; `in_spectrum` and `render_spectrum` do it for near-infrared and thermal cameras. `lifelike` draws the
same people as in photographs, with `draw_lifelike_cameras` and `render_lifelike`. Every draw is a
function of its key. `write_world` uses keys that begin with "world"; with any other first word, a script never repeats
a person, camera or image of a written data set.

The modules import from left to right:

```text
dice -> palette -> wardrobe -> people -> rig -> textures, head, gear -> figure \
        canvas -> scenes, occluders -> cameras -> spectral_cameras; people -> materials \
        wording -> unmet -> captions -> views -> lifelike -> plan -> worker -> world
```
"""

from scing_cli.core.synthetic.cameras import Camera, draw_cameras
from scing_cli.core.synthetic.lifelike import LifelikeCamera, draw_lifelike_cameras, render_lifelike
from scing_cli.core.synthetic.people import Person, draw_people
from scing_cli.core.synthetic.spectral_cameras import in_spectrum
from scing_cli.core.synthetic.views import Rendering, render, render_spectrum, render_view
from scing_cli.core.synthetic.world import OBSERVATIONS, WorldCounts, write_world

__all__ = [
    "OBSERVATIONS",
    "Camera",
    "LifelikeCamera",
    "Person",
    "Rendering",
    "WorldCounts",
    "draw_cameras",
    "draw_lifelike_cameras",
    "draw_people",
    "in_spectrum",
    "render",
    "render_lifelike",
    "render_spectrum",
    "render_view",
    "write_world",
]
