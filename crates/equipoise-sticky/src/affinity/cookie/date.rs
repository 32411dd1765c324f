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
    use alloc::format;
    use alloc::vec::Vec;
    use cookie::time::OffsetDateTime;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<i64> {
        seconds(text.as_bytes())
    }

    #[test]
    fn dates_in_all_forms_that_servers_write_are_understood() {
        // The example of RFC 9110, section 5.6.7, in its three forms, and as others have it.
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "6 november 94 8:49:37",
            "1994/nov/06 08:49:37xyz",
            "\t08:49:37,6,NOV,1994",
        ] {
            assert_eq!(at(text), Some(784_111_777), "{text}");
        }
        assert_eq!(at("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(at("01 Jan 69 00:00:00"), at("01 Jan 2069 00:00:00"));
        assert_eq!(at("01 Jan 70 00:00:00"), Some(0));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "never",
            "Sun, 06 Nov 1994",
            "06 Nov 08:49:37",
            "06 1994 08:49:37",
            "Nov 1994 08:49:37",
            "06 Nov 1994 24:00:00",
            "06 Nov 1994 08:60:00",
            "06 Nov 1994 08:00:60",
            "06 Nov 1994 8:9",
            "06 Nov 1994 008:49:37",
            "06 Nov 1600 08:49:37",
            "00 Nov 1994 08:49:37",
            "31 Nov 1994 08:49:37",
            "29 Feb 1900 08:49:37",
            "29 Feb 2023 08:49:37",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        assert!(at("29 Feb 2000 08:49:37").is_some() && at("29 Feb 2024 08:49:37").is_some());
    }

    proptest! {
        #[test]
        fn dates_are_the_seconds_that_another_calendar_counts(
            // From 1601 to 9999.
            seconds in -11_644_473_600_i64..253_402_300_800,
        ) {
            let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let (year, month, day) = (date.year(), date.month(), date.day());
            let (hour, minute, second) = date.to_hms();
            let text = format!("Sun, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT");
            prop_assert_eq!(at(&text), Some(seconds));
        }

        #[test]
        fn any_bytes_are_a_date_or_none(text in "[ -~]{0,40}", bytes: Vec<u8>) {
            for text in [text.as_bytes(), &bytes] {
                if let Some(at) = super::seconds(text) {
                    prop_assert!((-11_644_473_600..253_402_300_800).contains(&at));
                }
            }
        }
    }
}
