"""Draw people that look like photographs: bodies in three dimensions, light, cloth, places and sensors.

People, captions and occluders are those of the drawn look.

```text
noise -> surfaces, skeleton -> garments -> making -> hair, carried, legs -> body \
         surfaces -> splat -> light; noise -> places, sensor -------------> lifelike_views
```
"""

from scing_cli.core.synthetic.lifelike.lifelike_views import (
    RANGES,
    LifelikeCamera,
    draw_lifelike_cameras,
    render_lifelike,
)

__all__ = ["RANGES", "LifelikeCamera", "draw_lifelike_cameras", "render_lifelike"]
