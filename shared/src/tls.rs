//! The one TLS set-up: rustls on aws-lc-rs, with Mozilla's roots.
//!
//! The system's certificates are not read: they do not change under a deployed function, and
//! reading them would be paid for at every cold start.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, Error, RootCertStore};

/// Trusts Mozilla's roots and these.
pub(crate) fn client_config(
    extra_roots: &[CertificateDer<'static>],
) -> Result<ClientConfig, Error> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    roots.add_parsable_certificates(extra_roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
