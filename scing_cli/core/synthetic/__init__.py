"""The rendered world: drawn pedestrians, many alike, before cameras that each see in their own way.

`write_world` writes a data set. `draw_people`, `draw_cameras` and `render` draw single images with captions as a script
goes; keys that do not begin with "world" never meet a person, camera or image of a written data set.

```text
dice -> palette -> wardrobe -> people -> rig -> textures, head, gear -> figure \
                                canvas -> scenes, occluders -> cameras, captions -> views -> world
```
"""

from scing_cli.core.synthetic.cameras import Camera, draw_cameras
from scing_cli.core.synthetic.people import Person, draw_people
from scing_cli.core.synthetic.views import Rendering, render, render_view
from scing_cli.core.synthetic.world import WorldCounts, write_world

__all__ = [
    "Camera",
    "Person",
    "Rendering",
    "WorldCounts",
    "draw_cameras",
    "draw_people",
    "render",
    "render_view",
    "write_world",
]
