//! What `config/` installs, as a real API server takes it, in every combination of its components.

use crate::plane::Plane;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds `config/default` with components and has the API server judge it, storing nothing.
fn dry_run(plane: &Plane, components: &[&str]) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    // kustomize takes no absolute paths; the way up from the temporary folder is as long as that is deep.
    let up: String = plane.directory.components().skip(1).map(|_| "../").collect();
    let from = format!("../{up}{}", root.strip_prefix("/").unwrap().display());
    let listed: Vec<String> = components
        .iter()
        .map(|name| format!("{from}/config/components/{name}"))
        .collect();
    let folder = plane.directory.join(format!("with-{}", components.join("-")));
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{from}/config/default]\ncomponents: [{}]\n",
        listed.join(", ")
    );
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    let output = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(plane.directory.join("kubeconfig"))
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-k",
        ])
        .arg(&folder)
        .output()
        .expect("kubectl");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{components:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("deployment.apps/continuity-operator serverside-applied"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn the_components_go_together_and_a_real_api_server_takes_all_of_it() {
    let plane = Plane::start("config").await;
    for components in [
        &[][..],
        &["callers"],
        &["debug"],
        &["external-metrics"],
        &["external-metrics", "debug", "callers"],
    ] {
        dry_run(&plane, components);
    }
}
