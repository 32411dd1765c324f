//! Which statuses are expected.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::InvalidProbe;

/// A set of HTTP statuses: `200-299,401`.
///
/// ```
/// use equipoise_tokio::probe::StatusSet;
///
/// let set: StatusSet = "200-299, 401".parse()?;
/// assert!(set.contains(204) && set.contains(401) && !set.contains(404));
/// assert_eq!(set.to_string(), "200-299,401");
/// assert_eq!("200..".parse::<StatusSet>().unwrap_err().field(), "status");
/// # Ok::<(), equipoise_tokio::probe::InvalidProbe>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusSet {
    /// Each within 200..=999, not empty.
    ranges: Vec<RangeInclusive<u16>>,
}

impl StatusSet {
    /// The most ranges of a set.
    const LIMIT: usize = 64;

    /// The statuses of the range.
    ///
    /// # Errors
    /// [`InvalidProbe::Status`], if it is empty or not within 200 to 999.
    pub fn new(range: RangeInclusive<u16>) -> Result<Self, InvalidProbe> {
        if range.is_empty() || *range.start() < 200 || *range.end() > 999 {
            return Err(InvalidProbe::Status(format!("{}-{}", range.start(), range.end())));
        }
        Ok(Self { ranges: vec![range] })
    }

    /// Whether the status is in it.
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&status))
    }

    /// A status that is in both.
    pub(super) fn common(&self, other: &Self) -> Option<u16> {
        self.ranges.iter().flat_map(Clone::clone).find(|status| other.contains(*status))
    }
}

impl Default for StatusSet {
    /// 200 to 299.
    fn default() -> Self {
        Self { ranges: vec![200..=299] }
    }
}

impl FromStr for StatusSet {
    type Err = InvalidProbe;

    fn from_str(text: &str) -> Result<Self, InvalidProbe> {
        let bad = || InvalidProbe::Status(text.to_owned());
        let status = |text: &str| {
            let text = text.trim();
            let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse::<u16>().map_err(|_| bad()) } else { Err(bad()) }
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = Self::new(status(first)?..=status(last)?).map_err(|_| bad())?;
            ranges.extend(range.ranges);
            if ranges.len() > Self::LIMIT {
                return Err(bad());
            }
        }
        Ok(Self { ranges })
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_statuses_and_ranges_is_read_and_written() {
        for (text, written) in
            [("200", "200"), ("200-399", "200-399"), (" 200 - 204 ,503 ", "200-204,503")]
        {
            assert_eq!(text.parse::<StatusSet>().unwrap().to_string(), written);
        }
        let set: StatusSet = "200-204,503".parse().unwrap();
        let members: Vec<u16> = (0..=u16::MAX).filter(|s| set.contains(*s)).collect();
        assert_eq!(members, [200, 201, 202, 203, 204, 503]);
    }

    #[test]
    fn what_is_no_list_of_statuses_is_refused_with_the_text() {
        let many = ["200"; 65].join(",");
        for text in [
            "",
            ",",
            "200,",
            "abc",
            "199",
            "1000",
            "300-200",
            "200-",
            "-200",
            "+20",
            "200-299-300",
            "2xx",
            &many,
        ] {
            assert_eq!(text.parse::<StatusSet>(), Err(InvalidProbe::Status(text.to_owned())));
        }
    }

    #[test]
    fn common_statuses_are_found() {
        let set = |text: &str| text.parse::<StatusSet>().unwrap();
        assert_eq!(set("200-299").common(&set("503,250")), Some(250));
        assert_eq!(set("200-299").common(&set("300-400")), None);
    }
}
