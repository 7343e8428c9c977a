//! Times of the usual form, as microseconds since 1970; other forms are Python's.

const LATEST: i64 = 253_402_300_800_000_000; // the year 10000
const SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;

/// `YYYY-MM-DDTHH:MM:SS[.1 to 9 digits]Z`; digits beyond microseconds are cut off.
pub fn usual(text: &[u8]) -> Option<i64> {
    let (stamp, fraction) = text.split_at_checked(19)?;
    for (place, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if stamp[place] != mark {
            return None;
        }
    }
    let year = digits(&stamp[..4])?;
    let month = digits(&stamp[5..7])?;
    let day = digits(&stamp[8..10])?;
    let (hour, minute, second) = (
        digits(&stamp[11..13])?,
        digits(&stamp[14..16])?,
        digits(&stamp[17..19])?,
    );
    if year < 1970 || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None; // leap seconds too
    }
    let micros = match fraction {
        b"Z" => 0,
        [b'.', decimals @ .., b'Z'] if (1..=9).contains(&decimals.len()) => {
            digits(decimals)?;
            let kept = &decimals[..decimals.len().min(6)];
            digits(kept)? * 10_i64.pow(6 - kept.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// A number of ten digits is a time of our days in seconds, and refused.
pub fn from_milliseconds(milliseconds: i64) -> Option<i64> {
    let is_time = (0..LATEST / 1000).contains(&milliseconds) && !SECONDS.contains(&milliseconds);
    is_time.then(|| milliseconds * 1000)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar; years are counted from March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469
}

/// A time in seconds since 1970 as `YYYY-MM-DDTHH:MM:SS`, up to the year 9999.
pub fn written(second: u64) -> String {
    let (days, rest) = (second / 86_400, second % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let since = days + 719_468; // the first of March of the year 0
    let (era, of_era) = (since / 146_097, since % 146_097);
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (years + era * 400, month + 3)
    } else {
        (years + era * 400 + 1, month - 9)
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
