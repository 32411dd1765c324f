//! What follows the `?`.

use form_urlencoded::parse;

/// The values of these names, each given once at most.
///
/// # Errors
/// A name that is not allowed, or given twice: a misspelt `for_ms` would otherwise break something for ever.
pub(crate) fn values<const N: usize>(
    query: Option<&str>,
    allowed: [&str; N],
) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    for (name, value) in parse(query.unwrap_or_default().as_bytes()) {
        let slot = allowed.iter().zip(&mut values).find(|(allowed, _)| **allowed == name);
        let Some((_, slot)) = slot else {
            let allowed = if N == 0 { "none".to_owned() } else { allowed.join(", ") };
            return Err(format!("unknown parameter `{name}`; allowed: {allowed}"));
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(format!("parameter `{name}` is given twice"));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn every_parameter_is_known_and_given_once() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(values(None, ["a", "b"]), Ok([None, None]));
        assert_eq!(values(Some("b=1%202&a"), ["a", "b"]), Ok([some(""), some("1 2")]));
        let error =
            |query, text: &str| assert_eq!(values(Some(query), ["a"]), Err(text.to_owned()));
        error("a=1&a=1", "parameter `a` is given twice");
        error("A=1", "unknown parameter `A`; allowed: a");
        assert_eq!(values(Some("x"), []).unwrap_err(), "unknown parameter `x`; allowed: none");
    }
}
