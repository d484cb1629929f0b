//! A client and a namespace, chosen the way kubectl chooses them.

use crate::args::Connection;
use crate::error::Error;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::time::Duration;

/// Longest wait for the API server to accept a connection: a wrong address must not look like a slow cluster.
const CONNECT: Duration = Duration::from_secs(5);

/// Where questions go.
#[derive(Clone)]
pub struct Session {
    /// The API server.
    pub client: Client,
    /// Namespace of the Service or set.
    pub namespace: String,
    /// Namespace of the installation.
    pub system: String,
}

impl Session {
    /// Connects as the flags say.
    ///
    /// # Errors
    /// No kubeconfig, an unknown context, or unusable credentials.
    pub async fn open(connection: &Connection) -> Result<Self, Error> {
        let mut config = configure(connection).await?;
        config.connect_timeout = Some(CONNECT);
        let namespace = connection
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(Error::Client)?;
        Ok(Self {
            client,
            namespace,
            system: connection.system_namespace.clone(),
        })
    }
}

async fn configure(connection: &Connection) -> Result<Config, Error> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    match &connection.kubeconfig {
        Some(path) => Ok(Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?),
        None if connection.context.is_some() => Ok(Config::from_kubeconfig(&options).await?),
        None => Ok(Config::infer().await?),
    }
}
