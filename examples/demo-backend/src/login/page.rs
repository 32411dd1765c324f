//! The page of the login app.

use std::fmt::Display;

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use crate::answer::{Answer, html};
use crate::app::App;
use crate::sessions::{IDLE, MAX_NAME, Visit};

/// Nothing but our own style and forms: a name that got through as HTML could still do nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "
  :root { color-scheme: light dark; }
  body { max-width: 32rem; margin: 15vh auto 0; padding: 0 1rem; font: 1.1rem/1.5 system-ui, sans-serif; }
  h1 { font-size: 1.6rem; overflow-wrap: anywhere; }
  form { display: flex; gap: .5rem; align-items: center; margin: 1.5rem 0; }
  input { flex: 1; min-width: 0; }
  input, button { font: inherit; padding: .3rem .7rem; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; border-top: 1px solid; padding-top: 1rem; }
  dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
";

/// Who is logged in and which backend says so. `brought` says that a session came with the request, known or not.
pub(super) fn page(app: &App, visit: Option<&Visit>, brought: bool) -> Answer {
    let (title, content) = match visit {
        Some(visit) => (format!("Hello, {}", escape(&visit.user)), logged_in(visit)),
        None => ("Nobody is logged in here".to_owned(), logged_out(brought)),
    };
    let name = escape(&app.name);
    let place = escape(&app.sessions);
    let idle = IDLE.as_secs() / 60;
    let page = format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
{content}
<dl>
<dt>Answered by</dt><dd>{name}</dd>
<dt>Sessions are</dt><dd>{place}</dd>
<dt>They end</dt><dd>{idle} minutes after the last visit</dd>
</dl>
</body>
</html>
"
    );
    let mut answer = html(page);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer
}

fn logged_in(visit: &Visit) -> String {
    format!(
        "<p>Visit {} in this session.</p>
<form method=\"post\" action=\"/logout\"><button>Log out</button></form>",
        visit.number
    )
}

fn logged_out(brought: bool) -> String {
    let why = if brought {
        "<p>Your browser came with a session, but it is not known here: it has ended, or another backend has it.</p>\n"
    } else {
        ""
    };
    format!(
        "{why}<form method=\"post\" action=\"/login\">
<label for=\"user\">Name</label>
<input id=\"user\" name=\"user\" required maxlength=\"{MAX_NAME}\" autocomplete=\"username\" autofocus>
<button>Log in</button>
</form>"
    )
}

/// A text as HTML, wherever it stands.
fn escape(text: impl Display) -> String {
    let mut escaped = String::new();
    for c in text.to_string().chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_html_could_take_for_its_own_is_escaped() {
        assert_eq!(
            escape("<a b=\"c\" d='e'>&amp;é"),
            "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;é"
        );
    }
}
