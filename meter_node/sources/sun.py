"""Where the sun stands and what a clear sky gives. Knows nothing of houses or clouds."""

import math
from typing import overload

import numpy as np
from numpy.typing import NDArray

J2000_S = 946_728_000  # 2000-01-01 12:00 UTC
DAY_S = 86_400

type Instants = NDArray[np.float64]


@overload
def clear_sky_plane_kw_per_m2(
    time_s: float, latitude_deg: float, longitude_deg: float, tilt_deg: float
) -> float: ...
@overload
def clear_sky_plane_kw_per_m2(
    time_s: Instants, latitude_deg: float, longitude_deg: float, tilt_deg: float
) -> Instants: ...
def clear_sky_plane_kw_per_m2(
    time_s: float | Instants, latitude_deg: float, longitude_deg: float, tilt_deg: float
) -> float | Instants:
    """Sunlight (kW/m²) on a plane tilted towards the equator, at UTC seconds since 1970.

    Position: the Astronomical Almanac's low-precision formulas (0.01°). Clear sky: Meinel's
    1.353 · 0.7^(AM^0.678) for the beam, a tenth more from the sky.
    """
    times_s = np.asarray(time_s, dtype=np.float64)
    up, equatorward = _direction(times_s, latitude_deg, longitude_deg)
    risen = up > 0.01
    beam_kw_per_m2 = 1.353 * 0.7 ** (np.where(risen, up, 1.0) ** -0.678)
    tilt = math.radians(tilt_deg)
    facing = up * math.cos(tilt) + equatorward * math.sin(tilt)
    light_kw_per_m2 = risen * beam_kw_per_m2 * (np.maximum(facing, 0.0) + 0.1)
    return light_kw_per_m2 if isinstance(time_s, np.ndarray) else float(light_kw_per_m2)


def _direction(
    time_s: Instants, latitude_deg: float, longitude_deg: float
) -> tuple[Instants, Instants]:
    """The sun's unit vector: its parts upwards and towards the equator."""
    days = (time_s - J2000_S) / DAY_S
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(
        280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439)
    declination = np.arcsin(math.sin(obliquity) * np.sin(ecliptic))
    ascension = np.arctan2(math.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    sidereal = np.radians(280.46062 + 360.98564737 * days)
    hour_angle = sidereal + math.radians(longitude_deg) - ascension
    latitude = math.radians(latitude_deg)
    towards_meridian = np.cos(declination) * np.cos(hour_angle)
    up = math.sin(latitude) * np.sin(declination) + math.cos(latitude) * towards_meridian
    south = math.sin(latitude) * towards_meridian - math.cos(latitude) * np.sin(declination)
    return up, math.copysign(1.0, latitude_deg) * south
