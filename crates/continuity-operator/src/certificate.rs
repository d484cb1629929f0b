//! The serving certificate: made here, kept in a Secret that all replicas share, replaced a month before it ends.
//!
//! A new authority is made each time and its key is thrown away, so that nothing can be signed by it later. The authority
//! before stays believed beside the new one: the other replica serves by it until it looks again, and callers come with it.

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

/// Annotation with the last day of the certificate.
const NOT_AFTER: &str = "continuity.nity.io/not-after";
/// Life of a certificate.
const LIFE_DAYS: i64 = 365;
/// Rest of its life at which it is replaced.
const RENEW_DAYS: i64 = 30;

/// Which certificate, and where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    /// Namespace of Service and Secret.
    pub(crate) namespace: &'a str,
    /// Service whose names stand in the certificate.
    pub(crate) service: &'a str,
    /// Secret that keeps it.
    pub(crate) secret: &'static str,
    /// Whether one for a client is made beside it.
    pub(crate) client: bool,
}

/// What a server serves by, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// Authority that signed it, and the one before.
    pub authority: String,
    /// What the one client shows.
    pub client: Option<Pair>,
}

/// A certificate for a client, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// The certificate in the Secret, made first where there is none or it ends soon.
pub(crate) async fn ensure(client: &Client, order: &Order<'_>) -> Result<Serving, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), order.namespace);
    let stored = secrets.get_opt(order.secret).await?;
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    if let Some(stored) = &stored
        && !due(stored, today)
    {
        return read(stored, order);
    }
    let (mut serving, last) = make(order, today)?;
    if let Some(before) = stored.as_ref().and_then(|stored| read(stored, order).ok()) {
        serving.authority.push_str(first(&before.authority));
    }
    let version = stored.and_then(|secret| secret.metadata.resource_version);
    let secret = secret(order, &serving, last, version.clone());
    let written = match version {
        Some(_) => {
            secrets
                .replace(order.secret, &PostParams::default(), &secret)
                .await
        }
        None => secrets.create(&PostParams::default(), &secret).await,
    };
    match written.map_err(Error::from) {
        Ok(_) => Ok(serving),
        // The other replica was faster; its certificate is as good.
        Err(error) if error.category() == Category::Conflict => {
            read(&secrets.get(order.secret).await?, order)
        }
        Err(error) => Err(error),
    }
}

/// The first certificate of several.
fn first(pem: &str) -> &str {
    let end = "-----END CERTIFICATE-----";
    pem.find(end)
        .map_or(pem, |at| pem.get(..at + end.len()).unwrap_or(pem))
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

fn read(secret: &Secret, order: &Order<'_>) -> Result<Serving, Error> {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            .ok_or_else(|| Error::BadSecret(order.secret.to_owned()))
    };
    let pair = || -> Result<Pair, Error> {
        Ok(Pair {
            certificate: text("client.crt")?,
            key: text("client.key")?,
        })
    };
    Ok(Serving {
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
        authority: text("ca.crt")?,
        client: order.client.then(pair).transpose()?,
    })
}

fn secret(order: &Order<'_>, serving: &Serving, last: civil::Date, version: Option<String>) -> Secret {
    let mut texts = vec![
        ("tls.crt", &serving.certificate),
        ("tls.key", &serving.key),
        ("ca.crt", &serving.authority),
    ];
    if let Some(client) = &serving.client {
        texts.extend([("client.crt", &client.certificate), ("client.key", &client.key)]);
    }
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = texts.into_iter().map(|(key, text)| (key.to_owned(), bytes(text)));
    Secret {
        metadata: ObjectMeta {
            name: Some(order.secret.to_owned()),
            namespace: Some(order.namespace.to_owned()),
            annotations: Some(BTreeMap::from([(NOT_AFTER.to_owned(), last.to_string())])),
            resource_version: version,
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.collect()),
        ..Secret::default()
    }
}

/// Makes an authority and what it signs, and says the last day of all of it.
fn make(order: &Order<'_>, today: civil::Date) -> Result<(Serving, civil::Date), Error> {
    let Order {
        namespace,
        service,
        secret,
        ..
    } = order;
    let last = today.saturating_add(LIFE_DAYS.days());
    // Clocks of other machines can be behind by a little; a day is plenty.
    let first = today.saturating_sub(1.days());
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("{secret}-ca"));
    span(&mut authority, first, last);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&authority, &authority_key);

    let sign = |names: Vec<String>, name: String, usage: ExtendedKeyUsagePurpose| -> Result<Pair, Error> {
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![usage];
        span(&mut leaf, first, last);
        let key = KeyPair::generate()?;
        Ok(Pair {
            certificate: leaf.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    };
    let names = vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    let server = sign(names, (*secret).to_owned(), ExtendedKeyUsagePurpose::ServerAuth)?;
    let client = || {
        sign(
            Vec::new(),
            format!("{secret}-client"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    };
    let serving = Serving {
        certificate: server.certificate,
        key: server.key,
        authority: authority_certificate.pem(),
        client: order.client.then(client).transpose()?,
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

    const ORDER: Order<'static> = Order {
        namespace: "continuity-system",
        service: "metrics",
        secret: "continuity-metrics",
        client: true,
    };

    #[test]
    fn a_made_certificate_survives_its_secret_and_is_not_due() {
        let (serving, last) = make(&ORDER, today()).unwrap();
        let stored = secret(&ORDER, &serving, last, None);
        assert_eq!(read(&stored, &ORDER).unwrap(), serving);
        assert!(serving.client.is_some());
        assert!(!due(&stored, today()));
    }

    #[test]
    fn a_certificate_is_replaced_a_month_before_it_ends() {
        let (serving, last) = make(&ORDER, today()).unwrap();
        let stored = secret(&ORDER, &serving, last, None);
        assert!(!due(&stored, last.saturating_sub(31.days())));
        assert!(due(&stored, last.saturating_sub(30.days())));
        assert!(due(&Secret::default(), today()));
    }

    #[test]
    fn of_the_authorities_before_only_the_latest_stays_believed() {
        let (one, _) = make(&ORDER, today()).unwrap();
        let (two, _) = make(&ORDER, today()).unwrap();
        let both = format!("{}{}", one.authority, two.authority);
        assert_eq!(first(&both), one.authority.trim_end());
    }

    #[test]
    fn a_secret_without_its_keys_says_what_to_do() {
        let why = read(&Secret::default(), &ORDER).unwrap_err().to_string();
        assert!(why.contains("delete it"));
    }
}
