//! The serving certificate: made here, kept in a Secret that all replicas share, replaced a month before it ends.
//!
//! A new authority is made each time and its key is thrown away, so that nothing can be signed by it later. The APIService
//! verifies by that authority alone.

use crate::error::{Category, Error};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::collections::BTreeMap;

/// Name of the Secret.
pub(super) const SECRET: &str = "continuity-external-metrics";
/// Annotation with the last day of the certificate.
const NOT_AFTER: &str = "continuity.nity.io/not-after";
/// Life of a certificate.
const LIFE_DAYS: i64 = 365;
/// Rest of its life at which it is replaced.
const RENEW_DAYS: i64 = 30;

/// What the server serves by, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// Authority that signed it.
    pub authority: String,
}

/// The certificate in the Secret, made first where there is none or it ends soon.
pub(super) async fn ensure(client: &Client, namespace: &str, service: &str) -> Result<Serving, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let stored = secrets.get_opt(SECRET).await?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    if let Some(stored) = &stored
        && !due(stored, today)
    {
        return read(stored);
    }
    let (serving, last) = make(namespace, service, today)?;
    let version = stored.and_then(|secret| secret.metadata.resource_version);
    let secret = secret(namespace, &serving, last, version.clone());
    let written = match version {
        Some(_) => secrets.replace(SECRET, &PostParams::default(), &secret).await,
        None => secrets.create(&PostParams::default(), &secret).await,
    };
    match written.map_err(Error::from) {
        Ok(_) => Ok(serving),
        // The other replica was faster; its certificate is as good.
        Err(error) if error.category() == Category::Conflict => read(&secrets.get(SECRET).await?),
        Err(error) => Err(error),
    }
}

fn due(secret: &Secret, today: civil::Date) -> bool {
    let last = secret
        .metadata
        .annotations
        .as_ref()
        .and_then(|found| found.get(NOT_AFTER));
    let last: Option<civil::Date> = last.and_then(|text| text.parse().ok());
    last.is_none_or(|last| {
        last.checked_sub(RENEW_DAYS.days())
            .map_or(true, |renew| today >= renew)
    })
}

fn read(secret: &Secret) -> Result<Serving, Error> {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            .ok_or_else(|| Error::BadSecret(SECRET.to_owned()))
    };
    Ok(Serving {
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
        authority: text("ca.crt")?,
    })
}

fn secret(namespace: &str, serving: &Serving, last: civil::Date, version: Option<String>) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        ("tls.crt".to_owned(), bytes(&serving.certificate)),
        ("tls.key".to_owned(), bytes(&serving.key)),
        ("ca.crt".to_owned(), bytes(&serving.authority)),
    ]);
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            annotations: Some(BTreeMap::from([(NOT_AFTER.to_owned(), last.to_string())])),
            resource_version: version,
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// Makes an authority and a certificate for the names of the Service, and says its last day.
fn make(namespace: &str, service: &str, today: civil::Date) -> Result<(Serving, civil::Date), Error> {
    let last = today.saturating_add(LIFE_DAYS.days());
    // Clocks of other machines can be behind by a little; a day is plenty.
    let first = today.saturating_sub(1.days());
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "continuity-external-metrics-ca");
    span(&mut authority, first, last);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let names = vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name
        .push(DnType::CommonName, "continuity-external-metrics");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    span(&mut leaf, first, last);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
    let serving = Serving {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        authority: authority_certificate.pem(),
    };
    Ok((serving, last))
}

fn span(params: &mut CertificateParams, first: civil::Date, last: civil::Date) {
    let day = |date: civil::Date| {
        let part = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = day(first);
    params.not_after = day(last);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> civil::Date {
        civil::date(2026, 11, 21)
    }

    #[test]
    fn a_made_certificate_survives_its_secret_and_is_not_due() {
        let (serving, last) = make("continuity-system", "metrics", today()).unwrap();
        let stored = secret("continuity-system", &serving, last, None);
        assert_eq!(read(&stored).unwrap(), serving);
        assert!(!due(&stored, today()));
    }

    #[test]
    fn a_certificate_is_replaced_a_month_before_it_ends() {
        let (serving, last) = make("continuity-system", "metrics", today()).unwrap();
        let stored = secret("continuity-system", &serving, last, None);
        assert!(!due(&stored, last.saturating_sub(31.days())));
        assert!(due(&stored, last.saturating_sub(30.days())));
        assert!(due(&Secret::default(), today()));
    }

    #[test]
    fn a_secret_without_its_keys_says_what_to_do() {
        assert!(
            read(&Secret::default())
                .unwrap_err()
                .to_string()
                .contains("delete it")
        );
    }
}
