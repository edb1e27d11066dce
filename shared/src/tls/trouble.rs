//! Errors of handshakes, in words that tell what to do.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Why there is no TLS connection, and what to do; `None` if the error is not about TLS. `ca` is the
/// setting that names the authorities, such as `redis.ca_file`.
pub fn trouble(error: &(dyn Error + 'static), ca: &str) -> Option<String> {
    tls_error(error).map(|error| words(error, ca))
}

/// Libraries wrap the error in their own, in `io::Error` and in `Arc`, which hide it from `source`.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e TlsError> {
    if let Some(found) = error.downcast_ref::<TlsError>() {
        return Some(found);
    }
    let held: Option<&'e (dyn Error + 'static)> = if let Some(io) = error.downcast_ref::<io::Error>() {
        io.get_ref().map(|error| error as _)
    } else if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        Some(&**shared)
    } else {
        error.source()
    };
    tls_error(held?)
}

fn words(error: &TlsError, ca: &str) -> String {
    match error {
        TlsError::InvalidCertificate(why) => of_certificate(why, ca),
        TlsError::InvalidMessage(_) => {
            "it does not speak TLS on this port: give the port for TLS, or a URL without TLS".to_owned()
        }
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure,
        ) => format!("it refuses the handshake ({error}): let it take clients without a certificate"),
        _ => format!("the TLS handshake failed ({error})"),
    }
}

fn of_certificate(why: &CertificateError, ca: &str) -> String {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "its certificate is not of an authority that is trusted here: name a file with the authority's certificate in {ca}"
            )
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is for {}, not for {}: use a name in the URL that the certificate has",
            names(presented),
            expected.to_str()
        ),
        CertificateError::NotValidForName => {
            "its certificate is for another host: use a name in the URL that the certificate has".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({why}): renew it, and check both clocks")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({why}): check both clocks")
        }
        _ => format!(
            "its certificate cannot be used ({why}): give it one that is signed by an authority, for its host name"
        ),
    }
}

/// `DnsName("localhost")` is how the library writes a name.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    match presented {
        [] => "no host".to_owned(),
        names => names.iter().map(plain).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_found_however_it_is_wrapped() {
        let tls = || TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let in_io = || io::Error::new(io::ErrorKind::InvalidData, tls());
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(in_io());
        let twice = io::Error::other(in_io());
        let wrapped: [&(dyn Error + 'static); 4] = [&tls(), &in_io(), &shared, &twice];
        for error in wrapped {
            let says = trouble(error, "redis.ca_file").unwrap();
            assert!(says.contains("redis.ca_file"), "{says}");
        }
        assert_eq!(trouble(&io::Error::other("no route"), "ca_file"), None);
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        let why = CertificateError::NotValidForNameContext {
            expected: "127.0.0.1".try_into().unwrap(),
            presented: vec!["DnsName(\"localhost\")".into(), "IpAddress(::1)".into()],
        };
        let says = words(&TlsError::InvalidCertificate(why), "ca_file");
        assert!(says.contains("is for localhost, IpAddress(::1), not for 127.0.0.1"), "{says}");
    }
}
