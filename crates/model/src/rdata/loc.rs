//! LOC: a place on Earth (RFC 1876).
//!
//! Kept in thousandths of a second and in centimetres, which is what the record's text can say; finer values are refused rather
//! than rounded, since clients compare what they read with what they sent.

use super::{Member, RdataError, Rtype, member::Value, source::Source};

/// A latitude or a longitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Angle {
    /// Whole degrees.
    pub degrees: u8,
    /// Whole minutes, below 60.
    pub minutes: u8,
    /// Thousandths of a second, below 60,000.
    pub milliseconds: u16,
    /// North or east.
    pub positive: bool,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loc {
    /// North or south.
    pub latitude: Angle,
    /// East or west.
    pub longitude: Angle,
    /// Above the reference, in centimetres.
    pub altitude_cm: i64,
    /// Diameter of what is meant, in centimetres.
    pub size_cm: i64,
    /// Horizontal precision, in centimetres.
    pub precision_horz_cm: i64,
    /// Vertical precision, in centimetres.
    pub precision_vert_cm: i64,
}

/// The names, bounds and letters of one angle.
struct Axis {
    degrees: &'static str,
    minutes: &'static str,
    seconds: &'static str,
    direction: &'static str,
    degrees_max: u8,
    letters: [&'static str; 2],
}

const LATITUDE: Axis = Axis {
    degrees: "lat_degrees",
    minutes: "lat_minutes",
    seconds: "lat_seconds",
    direction: "lat_direction",
    degrees_max: 90,
    letters: ["N", "S"],
};

const LONGITUDE: Axis = Axis {
    degrees: "long_degrees",
    minutes: "long_minutes",
    seconds: "long_seconds",
    direction: "long_direction",
    degrees_max: 180,
    letters: ["E", "W"],
};

/// RFC 1876 §3: what is meant where the text ends early, in centimetres.
const SIZE: i64 = 100;
const PRECISION_HORZ: i64 = 1_000_000;
const PRECISION_VERT: i64 = 1000;

/// RFC 1876 §2: altitudes reach from 100 km below the reference to the top of 32 bits.
const ALTITUDE: [i64; 2] = [-10_000_000, 4_284_967_295];
/// RFC 1876 §2: 9e9 cm.
const EXTENT: [i64; 2] = [0, 9_000_000_000];

const SHORT: &str = "is not a number in range: metres with at most two decimals";

impl Loc {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        Ok(Self {
            latitude: angle(source, &LATITUDE)?,
            longitude: angle(source, &LONGITUDE)?,
            altitude_cm: metres(source, "altitude", ALTITUDE)?.unwrap_or_default(),
            size_cm: metres(source, "size", EXTENT)?.unwrap_or(SIZE),
            precision_horz_cm: metres(source, "precision_horz", EXTENT)?.unwrap_or(PRECISION_HORZ),
            precision_vert_cm: metres(source, "precision_vert", EXTENT)?.unwrap_or(PRECISION_VERT),
        })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members = Vec::with_capacity(12);
        for (axis, angle) in [(&LATITUDE, self.latitude), (&LONGITUDE, self.longitude)] {
            let seconds = Value::Decimal { units: angle.milliseconds.into(), places: 3 };
            members.extend([
                Member::number(axis.degrees, angle.degrees),
                Member::number(axis.minutes, angle.minutes),
                Member { name: axis.seconds, value: seconds },
                Member::word(axis.direction, axis.letters[usize::from(!angle.positive)]),
            ]);
        }
        let lengths = [
            ("altitude", self.altitude_cm),
            ("size", self.size_cm),
            ("precision_horz", self.precision_horz_cm),
            ("precision_vert", self.precision_vert_cm),
        ];
        members.extend(lengths.map(|(name, units)| Member { name, value: Value::Decimal { units, places: 2 } }));
        members
    }
}

fn angle(source: &mut Source<'_>, axis: &Axis) -> Result<Angle, RdataError> {
    let degrees = source.u8(axis.degrees)?;
    let minutes = part(source, axis, axis.minutes)?;
    let seconds = part(source, axis, axis.seconds)?;
    let direction = source.word(axis.direction)?;
    let positive = match axis.letters.iter().position(|letter| letter.eq_ignore_ascii_case(&direction)) {
        Some(at) => at == 0,
        None => return Err(source.wrong(axis.direction, &direction, "is not a direction: use N or S, E or W")),
    };
    let whole = minutes.as_deref().unwrap_or("0");
    let Some(minutes) = units(whole, 0, [0, 59]).and_then(|minutes| u8::try_from(minutes).ok()) else {
        return Err(source.wrong(axis.minutes, whole, "is not a whole number from 0 to 59"));
    };
    let fine = seconds.as_deref().unwrap_or("0");
    let Some(milliseconds) = units(fine, 3, [0, 59_999]).and_then(|seconds| u16::try_from(seconds).ok()) else {
        return Err(source.wrong(axis.seconds, fine, "is not a number from 0 to 59.999 with at most three decimals"));
    };
    if degrees > axis.degrees_max || (degrees == axis.degrees_max && (minutes, milliseconds) != (0, 0)) {
        return Err(source.wrong(axis.degrees, &degrees.to_string(), "lies beyond the pole or the date line"));
    }
    Ok(Angle { degrees, minutes, milliseconds, positive })
}

/// Minutes or seconds, which a text may leave out: the direction comes then.
fn part(source: &mut Source<'_>, axis: &Axis, member: &'static str) -> Result<Option<String>, RdataError> {
    match source.peek() {
        Some(next) if axis.letters.iter().any(|letter| letter.eq_ignore_ascii_case(next)) => Ok(None),
        _ => source.optional(member),
    }
}

fn metres(source: &mut Source<'_>, member: &'static str, bounds: [i64; 2]) -> Result<Option<i64>, RdataError> {
    let Some(text) = source.optional(member)? else { return Ok(None) };
    let number = if source.left().is_some() { text.strip_suffix(['m', 'M']).unwrap_or(&text) } else { &text };
    match units(number, 2, bounds) {
        Some(centimetres) => Ok(Some(centimetres)),
        None => Err(RdataError::Member { rtype: Rtype::Loc, member, value: super::error::shown(&text), why: SHORT }),
    }
}

/// A decimal number in units of its last place; none when it is none, is finer, or out of bounds.
fn units(text: &str, places: usize, [min, max]: [i64; 2]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let plain = |text: &str| text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > places {
        return None;
    }
    let number: i64 = format!("{whole}{fraction:0<places$}").parse().ok()?;
    let number = if negative { -number } else { number };
    (min..=max).contains(&number).then_some(number)
}
