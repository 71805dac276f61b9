"""Where the sun stands and what a clear sky gives. Knows nothing of houses or clouds."""

import math

J2000_S = 946_728_000  # 2000-01-01 12:00 UTC
DAY_S = 86_400


def clear_sky_plane_kw_per_m2(
    time_s: float, latitude_deg: float, longitude_deg: float, tilt_deg: float
) -> float:
    """Sunlight (kW/m²) on a plane tilted towards the equator, at UTC seconds since 1970.

    Position: the Astronomical Almanac's low-precision formulas (0.01°). Clear sky: Meinel's
    1.353 · 0.7^(AM^0.678) for the beam, a tenth more from the sky.
    """
    up, equatorward = _direction(time_s, latitude_deg, longitude_deg)
    if up <= 0.01:
        return 0.0
    beam_kw_per_m2 = 1.353 * math.pow(0.7, math.pow(up, -0.678))
    tilt = math.radians(tilt_deg)
    facing = up * math.cos(tilt) + equatorward * math.sin(tilt)
    return beam_kw_per_m2 * (max(facing, 0.0) + 0.1)


def _direction(time_s: float, latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    """The sun's unit vector: its parts upwards and towards the equator."""
    days = (time_s - J2000_S) / DAY_S
    anomaly = math.radians(357.528 + 0.9856003 * days)
    ecliptic = math.radians(
        280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439)
    declination = math.asin(math.sin(obliquity) * math.sin(ecliptic))
    ascension = math.atan2(math.cos(obliquity) * math.sin(ecliptic), math.cos(ecliptic))
    sidereal = math.radians(280.46062 + 360.98564737 * days)
    hour_angle = sidereal + math.radians(longitude_deg) - ascension
    latitude = math.radians(latitude_deg)
    towards_meridian = math.cos(declination) * math.cos(hour_angle)
    up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * towards_meridian
    south = math.sin(latitude) * towards_meridian - math.cos(latitude) * math.sin(declination)
    return up, math.copysign(1.0, latitude_deg) * south
