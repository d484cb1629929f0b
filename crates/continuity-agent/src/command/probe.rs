//! Prints what the node can do; changes nothing.

use std::io::Write;

use continuity_dataplane::{Capability, CapabilityReport, Options, probe};
use serde_json::{Value, json};

use crate::arguments::Format;
use crate::error::Error;

/// Probes the node and prints the report.
///
/// # Errors
/// If standard output is gone.
pub fn run(options: &Options, format: Format, out: &mut impl Write) -> Result<(), Error> {
    let report = probe(options);
    match format {
        Format::Text => text(&report, out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &document(&report))?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn document(report: &CapabilityReport) -> Value {
    let one = |capability: &Capability| {
        json!({
            "name": capability.id.name(), "met": capability.met, "required": capability.required,
            "needs": capability.needs, "found": capability.found, "fallback": capability.fallback,
        })
    };
    json!({
        "usable": report.blocking().next().is_none(),
        "capabilities": report.capabilities.iter().map(one).collect::<Vec<_>>(),
    })
}

fn text(report: &CapabilityReport, out: &mut impl Write) -> std::io::Result<()> {
    for capability in &report.capabilities {
        let verdict = match capability.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "unknown",
        };
        writeln!(
            out,
            "{:<16} {verdict:<8} needs {}",
            capability.id.name(),
            capability.needs
        )?;
        if !capability.found.is_empty() {
            writeln!(out, "{:25} found {}", "", capability.found)?;
        }
        if capability.met != Some(true) {
            writeln!(out, "{:25} without it: {}", "", capability.fallback)?;
        }
    }
    match report.blocking().next() {
        None => writeln!(out, "this node can steer"),
        Some(capability) => {
            writeln!(
                out,
                "this node cannot steer ({} is missing); kube-proxy serves",
                capability.id
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use continuity_dataplane::CapabilityId;

    use super::*;

    fn report(met: bool) -> CapabilityReport {
        CapabilityReport {
            capabilities: vec![Capability {
                id: CapabilityId::Bpffs,
                needs: "a bpf file system",
                met: Some(met),
                required: true,
                found: String::new(),
                fallback: "kube-proxy serves",
            }],
        }
    }

    #[test]
    fn both_forms_name_what_is_missing_and_what_stands_in() {
        let mut printed = Vec::new();
        text(&report(false), &mut printed).expect("printed");
        let printed = String::from_utf8(printed).expect("text");
        assert!(printed.contains("cannot steer (Bpffs is missing)"), "{printed}");
        assert_eq!(document(&report(false))["usable"], false);
        assert_eq!(document(&report(true))["usable"], true);
    }
}
