//! The control plane, the operator, and where they are looked at.

use crate::Args;
use crate::error::Error;
use continuity_testkit::{Plane, Process};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest start of a part on a busy machine.
const START: Duration = Duration::from_secs(240);

/// Everything that runs for one size.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) plane: Plane,
    operator: Option<Process>,
    address: String,
    binary: PathBuf,
    directory: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.operator = None;
        self.plane.stop_api();
        // etcd's own files go with the process; what stays is in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Stage {
    /// A control plane with our CRDs.
    pub(crate) async fn start(args: &Args, nodes: usize) -> Result<Self, Error> {
        let directory = std::env::temp_dir().join(format!("continuity-fleet-{}-{nodes}", std::process::id()));
        // The default compacts every five minutes, which keeps five minutes of reports.
        let plane = Plane::start(&args.kubernetes, &directory, &["--etcd-compaction-interval=1m"])?;
        let file = directory.join("kubeconfig");
        std::fs::write(&file, plane.kubeconfig()).map_err(|source| Error::File {
            path: file.clone(),
            source,
        })?;
        let port = continuity_testkit::plane::free_port()?;
        let stage = Self {
            client: client(&file).await?,
            plane,
            operator: None,
            address: format!("127.0.0.1:{port}"),
            binary: args.operator.clone(),
            directory,
        };
        stage
            .until("the API server is ready", START, async || {
                let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
                stage.client.request_text(request).await.ok()
            })
            .await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
        for definition in continuity_api::schema::definitions() {
            definitions.create(&PostParams::default(), &definition).await?;
            let name = definition.name_any();
            stage
                .until("a CRD is served", START, async || {
                    let found = definitions.get(&name).await.ok()?;
                    let conditions = found.status?.conditions?;
                    conditions
                        .iter()
                        .any(|one| one.type_ == "Established" && one.status == "True")
                        .then_some(())
                })
                .await?;
        }
        Ok(stage)
    }

    /// Starts the operator; gives the time until it was ready, which needs every first list.
    pub(crate) async fn start_operator(&mut self) -> Result<Duration, Error> {
        let begun = Instant::now();
        let mut command = Command::new(&self.binary);
        command
            .arg("--kubeconfig")
            .arg(self.directory.join("kubeconfig"))
            .args([
                "--pod-name",
                "operator-a",
                "--listen",
                &self.address,
                "--log-text",
            ]);
        self.operator = Some(Process::start(
            &mut command,
            &self.directory.join("operator.log"),
        )?);
        self.until("the operator is ready", START, async || {
            get(&self.address, "/readyz")
                .await
                .filter(|text| text.starts_with("HTTP/1.1 200"))
                .map(|_| ())
        })
        .await?;
        Ok(begun.elapsed())
    }

    /// Ends the operator as a kubelet does, so that its Lease is free.
    pub(crate) async fn stop_operator(&mut self) -> Result<(), Error> {
        let Some(mut operator) = self.operator.take() else {
            return Ok(());
        };
        let id = operator.id().to_string();
        // If the signal does not arrive the process is killed below.
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let begun = Instant::now();
        while operator.runs() && begun.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        operator.kill();
        Ok(())
    }

    pub(crate) fn operator_id(&self) -> Option<u32> {
        self.operator.as_ref().map(Process::id)
    }

    /// The operator's metrics; empty while it does not answer.
    pub(crate) async fn operator_metrics(&self) -> String {
        get(&self.address, "/metrics").await.unwrap_or_default()
    }

    /// The API server's metrics; empty while it does not answer.
    pub(crate) async fn api_metrics(&self) -> String {
        let Ok(request) = http::Request::get("/metrics").body(Vec::new()) else {
            return String::new();
        };
        self.client.request_text(request).await.unwrap_or_default()
    }

    /// Waits until `look` gives something.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let mut said = Instant::now();
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if begun.elapsed() > patience {
                return Err(Error::Late {
                    what: what.to_owned(),
                    seconds: patience.as_secs(),
                    logs: self.directory.clone(),
                });
            }
            if said.elapsed() > Duration::from_secs(15) {
                said = Instant::now();
                eprintln!("  waits: {what} ({} s)", begun.elapsed().as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A client of its own, as another process would have.
    pub(crate) async fn another_client(&self) -> Result<Client, Error> {
        client(&self.directory.join("kubeconfig")).await
    }
}

async fn client(file: &Path) -> Result<Client, Error> {
    let kubeconfig = Kubeconfig::read_from(file)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// One page by plain HTTP, its head included; none while nobody answers.
async fn get(address: &str, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text)
    };
    tokio::time::timeout(Duration::from_secs(5), ask).await.ok()?
}
