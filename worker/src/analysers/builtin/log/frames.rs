//! What a stack trace says: its root cause, and the topmost frame of our own code.

use std::sync::LazyLock;

use regex::Regex;

/// Frames by language: Java, .NET and JavaScript; Python; Go; Rust.
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?m)^\s*(?:at (?<at>\S.*)|File "(?<file>[^"]+)", line (?<line>\d+)(?:, in (?<function>\S+))?|(?<go>/\S+\.go:\d+))"#,
    )
    .expect("a constant")
});

/// Code that is not ours: the language's own, and what everybody uses.
static FOREIGN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^(?:async )?(?:java\.|javax\.|jakarta\.|jdk\.|sun\.|com\.sun\.|kotlinx?\.|scala\.|groovy\.|System\.|Microsoft\.|org\.(?:springframework|hibernate|apache\.(?:catalina|coyote|tomcat|http|commons|logging)|junit|eclipse\.jetty|postgresql|jboss|mortbay)\.|com\.(?:zaxxer|mysql|fasterxml)\.|io\.netty\.|reactor\.|okhttp3\.|feign\.|/rustc/|\S*\.cargo/registry)|node:|node_modules|internal/|<anonymous>|/(?:site|dist)-packages/|/lib/python\d|/usr/local/go/|/go/pkg/mod/",
    )
    .expect("a constant")
});

static CAUSE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^\s*(?:Caused by:|---> |\[cause\]:|Root cause:)\s*(.+)$").expect("a constant")
});

/// Last lines of a Python trace.
static RAISED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^([A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Interrupt)\b.*)$").expect("a constant")
});

/// The line that names the innermost cause.
pub(super) fn root_cause(stack: &str) -> Option<&str> {
    let named = CAUSE.captures_iter(stack).last().or_else(|| RAISED.captures_iter(stack).last())?;
    Some(named.get(1)?.as_str().trim())
}

/// The frame of our own code that is nearest to the error.
pub(super) fn topmost_own(stack: &str) -> Option<String> {
    // Python writes the innermost call last.
    let is_python = stack.contains("most recent call last");
    let mut frames: Vec<String> = FRAME.captures_iter(stack).filter_map(|found| frame(&found)).collect();
    if is_python {
        frames.reverse();
    }
    frames.into_iter().find(|frame| !FOREIGN.is_match(frame))
}

fn frame(found: &regex::Captures) -> Option<String> {
    if let Some(python) = found.name("file") {
        let line = found.name("line").map_or("", |line| line.as_str());
        let place = format!("{}:{line}", python.as_str());
        return Some(match found.name("function") {
            Some(function) => format!("{place} in {}", function.as_str()),
            None => place,
        });
    }
    let plain = found.name("at").or_else(|| found.name("go"))?;
    Some(plain.as_str().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cause_and_own_frame() {
        let java = "com.shop.OrderException: not placed\n\tat java.base/java.lang.Thread.run(Thread.java:833)\n\
            \tat org.springframework.web.Filter.doFilter(Filter.java:1)\n\
            \tat com.shop.order.Orders.place(Orders.java:42)\n\tat com.shop.Api.post(Api.java:7)\n\
            Caused by: java.io.IOException: x\n\tat com.shop.Low.read(Low.java:1)\n\
            Caused by: java.net.ConnectException: Connection refused\n\t... 7 more";
        let python = "Traceback (most recent call last):\n  File \"/app/main.py\", line 3, in run\n    go()\n\
            \x20 File \"/app/orders.py\", line 9, in place\n    json.loads(x)\n\
            \x20 File \"/usr/lib/python3.11/json/decoder.py\", line 337, in decode\n    raise\n\
            json.decoder.JSONDecodeError: Expecting value";
        let node = "TypeError: x is not a function\n    at node:internal/process:1:2\n\
            \x20   at place (/app/node_modules/express/i.js:3:4)\n    at Orders.place (/app/src/orders.js:10:5)";
        let go = "goroutine 1 [running]:\nmain.place(...)\n\t/usr/local/go/src/runtime/panic.go:12\n\t/app/main.go:12 +0x1b";
        for (stack, cause, own) in [
            (
                java,
                Some("java.net.ConnectException: Connection refused"),
                Some("com.shop.order.Orders.place(Orders.java:42)"),
            ),
            (
                python,
                Some("json.decoder.JSONDecodeError: Expecting value"),
                Some("/app/orders.py:9 in place"),
            ),
            (node, Some("TypeError: x is not a function"), Some("Orders.place (/app/src/orders.js:10:5)")),
            (go, None, Some("/app/main.go:12")),
            ("no frames here", None, None),
            ("", None, None),
        ] {
            assert_eq!(root_cause(stack), cause);
            assert_eq!(topmost_own(stack).as_deref(), own, "{stack}");
        }
    }
}
