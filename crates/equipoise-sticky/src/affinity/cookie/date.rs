//! Dates as servers write them, in any of the forms that browsers take: RFC 6265, section 5.1.1.

/// A date in seconds since 1970, before it if negative; `None` if it is no date.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)) {
        // Each token is the first of these that it can be and that there is none of yet.
        if time.is_none()
            && let Some(found) = time_of_day(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of_year(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (day, month, time) = (day?, month?, time?);
    if year < 1601 || day == 0 || day > days_of(year, month) {
        return None;
    }
    Some((days_since_1970(year, month) + day - 1) * 86_400 + time)
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// The digits that a token begins with, if they are so many and something else or nothing follows.
fn number(token: &[u8], least: usize, most: usize) -> Option<i64> {
    let len = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = token.get(..len).filter(|_| (least..=most).contains(&len))?;
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// `9:8:7` or `09:08:07`, in seconds since midnight. Something else may follow.
fn time_of_day(token: &[u8]) -> Option<i64> {
    let mut fields = token.splitn(3, |byte| *byte == b':');
    let whole = |field: &[u8]| number(field, 1, 2).filter(|_| field.len() <= 2);
    let (hour, minute) = (whole(fields.next()?)?, whole(fields.next()?)?);
    let second = number(fields.next()?, 1, 2)?;
    (hour <= 23 && minute <= 59 && second <= 59).then_some((hour * 60 + minute) * 60 + second)
}

/// 1 for whatever begins with "jan".
fn month_of_year(token: &[u8]) -> Option<i64> {
    let start: [u8; 3] = token.first_chunk()?.map(|byte| byte.to_ascii_lowercase());
    let months = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let at = months.chunks_exact(3).position(|month| month == start)?;
    i64::try_from(at).ok().map(|at| at + 1)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970 to the first of a month: counted in years that begin in March, as then the day
/// that comes and goes is a year's last. Year and month are in range.
const fn days_since_1970(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 31, 30, 31, 30, 31 and again: 153 days in five months from March on.
    year * 365 + leap_days + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
}
