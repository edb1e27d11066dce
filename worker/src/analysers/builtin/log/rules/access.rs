//! Who may do what: login, rights, certificates.

use super::super::table::Certainty::{Exact, Phrase};
use super::super::table::Rule;
use crate::answers::Severity::{High, Low, Medium};

pub(super) const RULES: &[Rule] = &[
    Rule {
        error_type: "authentication-failed",
        pattern: concat!(
            r"authentication (has )?fail\w*|AuthenticationException|login (has )?failed|",
            r"failed (login|password)|bad credentials|invalid (credentials|password|username|api[- ]?key)|",
            r"password authentication failed|access denied for user|BadCredentials|",
            r"logon failure|SASL authentication|incorrect password|28P01"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A login was refused.",
        check: &[
            "Whether a password or key was changed or expired.",
            "Many of them from one address: an attack.",
        ],
    },
    Rule {
        error_type: "token-expired",
        pattern: concat!(
            r"(token|jwt|session|credential|ticket)s?( \S+)? (has |have |is |are )?(expired|no longer valid)|",
            r"ExpiredJwt|TokenExpired|ExpiredToken|expired (access )?(token|credentials)|",
            r"invalid_grant|invalid token"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "A token or session is not valid any more.",
        check: &["Whether it is renewed in time.", "Clocks of both hosts."],
    },
    Rule {
        error_type: "certificate-error",
        pattern: concat!(
            r"certificate (has )?(expired|verif\w+|is not|not|unknown|chain|signed|invalid)|",
            r"CertificateException|CertPath|PKIX path|self[- ]signed|x509:|",
            r"unable to (get local issuer|find valid certification)|CERT_HAS_EXPIRED|",
            r"hostname.*(does not|doesn't) match|expired certificate"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "A certificate was not accepted.",
        check: &[
            "Its dates and names.",
            "The chain, and the store of trusted authorities.",
            "The host's clock.",
        ],
    },
    Rule {
        error_type: "tls-handshake-failed",
        pattern: concat!(
            r"SSLHandshake|SSLException|SSLError|(tls|ssl)[^.]{0,40}(handshake|alert|fail\w*|error)|",
            r"handshake[ _](fail\w*|error)|wrong version number|no (shared cipher|cipher suites)|",
            r"SSL routines"
        ),
        certainty: Exact,
        severity: High,
        ticket: true,
        meaning: "No encrypted connection could be agreed on.",
        check: &[
            "Protocol versions and ciphers of both sides.",
            "Whether the other side speaks TLS on that port at all.",
        ],
    },
    Rule {
        error_type: "permission-denied",
        pattern: concat!(
            r"permission denied|\bEACCES\b|\bEPERM\b|AccessControlException|",
            r"AccessDenied(Exception)?|access (is )?denied|operation not permitted|",
            r"PermissionError|not authorized|insufficient (privileges?|permissions?)|",
            r"UnauthorizedAccess|lacks? (the )?permission"
        ),
        certainty: Exact,
        severity: Medium,
        ticket: true,
        meaning: "The program may not do what it tried.",
        check: &["Rights of the account it runs as.", "Whether a role or policy was changed."],
    },
    Rule {
        error_type: "directory-index-forbidden",
        pattern: r"directory index forbidden",
        certainty: Exact,
        severity: Low,
        ticket: false,
        meaning: "A client asked for a folder whose content the web server does not list.",
        check: &["Whether an index file is missing there.", "Otherwise nothing: scanners ask for this."],
    },
    Rule {
        error_type: "http-unauthorized",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b401\b|\b(status|code|response)\W{0,3}(code\W{0,3})?401\b|",
            r"\b401 unauthorized|\bunauthorized\b"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A request came without valid credentials (HTTP 401).",
        check: &["Key or token of the caller, and when it expires."],
    },
    Rule {
        error_type: "http-forbidden",
        pattern: concat!(
            r"HTTP[/ :=\w.]{0,16}\b403\b|\b(status|code|response)\W{0,3}(code\W{0,3})?403\b|",
            r"\b403 forbidden|\bforbidden\b"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A request was understood and refused (HTTP 403).",
        check: &["Rights of the caller.", "Address filters and web application firewalls."],
    },
    Rule {
        error_type: "suspicious-request",
        pattern: concat!(
            r"sql injection|path traversal|\.\./\.\./|cross-site|csrf (token|check)|",
            r"brute[- ]force|intrusion|invalid (method|uri) in request|",
            r"script not found or unable to stat"
        ),
        certainty: Phrase,
        severity: Medium,
        ticket: true,
        meaning: "A request looks like an attack or a scan.",
        check: &["Its source, and whether it succeeded anywhere."],
    },
];
