//! Connections, names, time limits, HTTP.

use super::super::table::Certainty::{Exact, Hint, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Low, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "connection-refused",
        pattern: concat!(
            r"connection refused|ECONNREFUSED|ConnectException|ConnectionRefused|",
            r"actively refused|connect\(\) failed"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "Nobody answers at the address: the service is down or listens elsewhere.",
        check: &[
            "Whether the other service runs and listens on that port.",
            "Address and port in the configuration.",
        ],
    },
    Rule {
        error_type: "connection-reset",
        pattern: concat!(
            r"connection (was )?(reset|aborted|broken)|ECONNRESET|broken pipe|",
            r"\bEPIPE\b|ConnectionReset|connection (was )?(forcibly )?closed (by|unexpectedly|prematurely)|",
            r"premature (end|close)|unexpected EOF|EOFException|caught end of stream|",
            r"socket hang up|peer closed|closed by (foreign|remote|the) ?(host|peer)?"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: false,
        meaning: "The other side closed the connection in the middle.",
        check: &[
            "Restarts or crashes of the other side at that time.",
            "Idle limits of proxies and load balancers.",
        ],
    },
    Rule {
        error_type: "host-unreachable",
        pattern: concat!(
            r"no route to host|NoRouteToHost|(host|network|destination)( is)? unreachable|",
            r"EHOSTUNREACH|ENETUNREACH|network is down"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "There is no way through the network to the host.",
        check: &["Whether the host is up.", "Routes, firewalls, network policies."],
    },
    Rule {
        error_type: "dns-failure",
        pattern: concat!(
            r"UnknownHost(Exception)?|\bENOTFOUND\b|EAI_AGAIN|getaddrinfo|",
            r"name or service not known|(temporary failure|failed|unable|could not|couldn't)( in| to)? (name resolution|resolve)|",
            r"no such host|NXDOMAIN|nodename nor servname|name resolution fail\w*"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A host name could not be resolved.",
        check: &["Spelling of the name in the configuration.", "The name server, and its record."],
    },
    Rule {
        error_type: "connect-timeout",
        pattern: concat!(
            r"connect(ion)? (attempt )?timed? ?out|ConnectTimeout|connection timeout|",
            r"ETIMEDOUT|timed out (while )?connecting|i/o timeout"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A connection could not be opened in time.",
        check: &["Firewalls that drop packets.", "Load of the other side."],
    },
    Rule {
        error_type: "read-timeout",
        pattern: concat!(
            r"read timed? ?out|SocketTimeout|ReadTimeout|socket timeout|",
            r"(response|request|upstream|gateway) timed? ?out|no response (from|within)|",
            r"upstream timed out"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "The other side took the request and did not answer in time.",
        check: &[
            "What the other side was doing: its load and its slow queries.",
            "Whether the time limit fits the work.",
        ],
    },
    Rule {
        error_type: "http-rate-limited",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b429\b|\b(status|code|response)\W{0,3}(code\W{0,3})?429\b|",
            r"too many requests|rate[- ]?limit(ed|ing)?( exceeded| reached)?|",
            r"throttl(ed|ing)|quota (exceeded|exhausted)|RateLimit(Error|Exceeded)|",
            r"ThrottlingException|slow down"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: false,
        meaning: "A service refused the request because there were too many.",
        check: &[
            "Requests per time against the quota.",
            "Whether the caller waits as told by `Retry-After`.",
        ],
    },
    Rule {
        error_type: "http-bad-gateway",
        pattern: concat!(
            r"\b502 bad gateway|HTTP[/ :=\w.]{0,16}\b502\b|\b(status|code|response)\W{0,3}(code\W{0,3})?502\b|",
            r"bad gateway"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A proxy got no valid answer from the service behind it (HTTP 502).",
        check: &["Whether the service behind the proxy runs, and its log."],
    },
    Rule {
        error_type: "http-service-unavailable",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b503\b|\b(status|code|response)\W{0,3}(code\W{0,3})?503\b|",
            r"service (is )?(temporarily )?unavailable|no (healthy|live) upstream"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A service is overloaded or down (HTTP 503).",
        check: &["Its health checks and number of instances.", "Whether a release was going on."],
    },
    Rule {
        error_type: "http-gateway-timeout",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b504\b|\b(status|code|response)\W{0,3}(code\W{0,3})?504\b|",
            r"gateway time-?out"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The service behind a proxy did not answer in time (HTTP 504).",
        check: &["Slow requests of the service behind.", "The proxy's time limit."],
    },
    Rule {
        error_type: "http-server-error",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b5\d\d\b|\b(status|code|response)\W{0,3}(code\W{0,3})?5\d\d\b|",
            r#"internal server error|HttpServerErrorException|\" 5\d\d \d+"#
        ),
        certainty: Phrase,
        severity: High,
        ticket: true,
        meaning: "A service failed while it handled a request (HTTP 5xx).",
        check: &["The log of the service that answered, at the same time."],
    },
    Rule {
        error_type: "http-not-found",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b404\b|\b(status|code|response)\W{0,3}(code\W{0,3})?404\b|",
            r"404 not found|NoHandlerFound|file does not exist"
        ),
        certainty: Phrase,
        severity: Low,
        ticket: false,
        meaning: "Something was asked for that is not there (HTTP 404).",
        check: &["Whether the address was changed or the thing was deleted."],
    },
    Rule {
        error_type: "http-client-error",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b4\d\d\b|\b(status|code|response)\W{0,3}(code\W{0,3})?4\d\d\b|",
            r#"bad request|HttpClientErrorException|\" 4\d\d \d+"#
        ),
        certainty: Hint,
        severity: Medium,
        ticket: false,
        meaning: "A request was refused as wrong (HTTP 4xx).",
        check: &["What the caller sent, against the interface's description."],
    },
    Rule {
        error_type: "network-address-changed",
        pattern: r"address change detected",
        certainty: Exact,
        severity: Low,
        ticket: false,
        meaning: "A host name resolved to another address than before.",
        check: &["Whether the host was meant to move.", "Name resolution, if it flips back and forth."],
    },
    Rule {
        error_type: "channel-open-failed",
        pattern: concat!(
            r"cannot open channel|(can ?not|could ?n[o']t|failed to|unable to|error) (connect\w*|contact\w*|reach)\b|",
            r"error in contacting|connect(ion)? (failed|failure|error)|",
            r"ConnectionError|ConnectionException|SocketException|failed on (connection|socket)"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "No connection to another part of the system came about.",
        check: &["Whether the other side runs.", "Network and names between the two."],
    },
    Rule {
        error_type: "connection-lost",
        pattern: concat!(
            r"connection (to \S+ )?(was |has been |is )?(broken|lost|dropped|closed|terminated)|",
            r"lost connection|disconnected|session (is )?(closed|lost|expired)|",
            r"close of session|interrupting sendworker|goodbye"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: false,
        meaning: "A connection that was open is gone.",
        check: &["Whether it was opened again.", "Restarts of the other side."],
    },
    Rule {
        error_type: "timeout",
        pattern: concat!(
            r"TimeoutException|TimeoutError|timed[- ]?out|timeout (expired|exceeded|reached|after|while|waiting|occurred|of \d+)|",
            r"deadline exceeded|DeadlineExceeded|context deadline|took too long|",
            r"exceeded .{0,20}time ?limit"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "Something was not done in time.",
        check: &["What it waited for.", "Whether the time limit fits the work."],
    },
    Rule {
        error_type: "bind-failed",
        pattern: concat!(
            r"address already in use|EADDRINUSE|BindException|(failed|unable|could not|cannot) to? ?bind|",
            r"port \d+ is already"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "The program could not listen on its port: another one has it.",
        check: &["Which process holds the port.", "Whether an old instance is still running."],
    },
];
