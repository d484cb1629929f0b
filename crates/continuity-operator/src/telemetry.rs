//! Logs and metrics: one registry, labels from closed sets, object names on per-set gauges only.

use crate::args::Args;
use crate::error::{Category, Error};
use crate::mode::Mode;
use crate::scheduler::Offer;
use continuity_api::node::Regime;
use continuity_api::{EquivalenceSet, metrics};
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use tracing_subscriber::EnvFilter;

/// Sets with gauges of their own: 5 series each, so at most 10,000 series. Status has them all.
const SETS_MAX: usize = 2_000;
const SET_LABELS: [&str; 3] = ["namespace", "service", "port"];

/// Sets logging up: JSON for machines, text for people. A filter that does not parse falls back to `info`, and says so.
pub fn logging(args: &Args) {
    let parsed = EnvFilter::try_new(&args.log);
    let wrong = parsed.is_err();
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if args.log_text {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
    if wrong {
        tracing::warn!(
            filter = args.log,
            "the log filter does not parse; logging at info"
        );
    }
}

/// Every metric of the operator.
pub struct Metrics {
    registry: Registry,
    /// Writes by aspect and outcome.
    pub writes: IntCounterVec,
    /// Writes merged into a later one.
    pub coalesced: IntCounter,
    /// Writes that wait.
    pub queue: IntGauge,
    /// Writes refused by the full queue.
    pub dropped: IntCounter,
    /// Writes apart as poison.
    pub quarantined: IntGauge,
    /// Nodes whose reports do not count.
    pub distrusted: IntGauge,
    mode: IntGauge,
    /// Passes.
    pub passes: IntCounter,
    /// Time of a pass.
    pub pass_seconds: Histogram,
    /// 1 on the leader.
    pub leader: IntGauge,
    /// Epoch of this replica's leadership, 0 while it does not lead.
    pub epoch: IntGauge,
    /// Requests to the external metrics API by code.
    pub external: IntCounterVec,
    /// Requests of KEDA by method and code.
    pub scaler: IntCounterVec,
    errors: IntCounterVec,
    desired: GaugeVec,
    regime: GaugeVec,
    isolated: GaugeVec,
    offered: GaugeVec,
    pressure: GaugeVec,
}

impl Metrics {
    /// All metrics, registered.
    ///
    /// # Errors
    /// If two share a name: a fault of ours.
    pub fn new() -> Result<Self, Error> {
        let per_set = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &SET_LABELS);
        let labelled =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let seconds = HistogramOpts::new(metrics::OPERATOR_PASS_SECONDS, "Time of one pass of decisions.")
            .buckets(vec![
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
            ]);
        let made = Self {
            registry: Registry::new(),
            writes: labelled(
                metrics::OPERATOR_WRITES,
                "Writes to the API.",
                &["aspect", "outcome"],
            )?,
            coalesced: IntCounter::new(metrics::OPERATOR_COALESCED, "Writes merged into a later one.")?,
            queue: IntGauge::new(metrics::OPERATOR_QUEUE, "Writes that wait.")?,
            dropped: IntCounter::new(metrics::OPERATOR_DROPPED, "Writes refused by the full queue.")?,
            quarantined: IntGauge::new(
                metrics::OPERATOR_QUARANTINED,
                "Writes that are put apart as poison.",
            )?,
            distrusted: IntGauge::new(metrics::OPERATOR_DISTRUSTED, "Nodes whose reports do not count.")?,
            mode: IntGauge::new(
                metrics::OPERATOR_MODE,
                "0 NORMAL, 1 DEGRADED, 2 READ_ONLY, 3 DRAINING.",
            )?,
            passes: IntCounter::new(metrics::OPERATOR_PASSES, "Passes of decisions.")?,
            pass_seconds: Histogram::with_opts(seconds)?,
            leader: IntGauge::new(metrics::OPERATOR_LEADER, "1 on the leader.")?,
            epoch: IntGauge::new(
                metrics::OPERATOR_WRITER_EPOCH,
                "Writer epoch while leading, else 0.",
            )?,
            external: labelled(
                metrics::EXTERNAL_METRIC_REQUESTS,
                "Requests to external.metrics.k8s.io.",
                &["code"],
            )?,
            scaler: labelled(
                metrics::SCALER_REQUESTS,
                "Requests of KEDA to the external scaler.",
                &["method", "code"],
            )?,
            errors: labelled(metrics::OPERATOR_ERRORS, "Errors by category.", &["category"])?,
            desired: per_set(metrics::DESIRED_REPLICAS, "Wanted replicas.")?,
            regime: per_set(
                metrics::SET_REGIME,
                "0 laminar, 1 recovery, 2 transition, 3 crisis.",
            )?,
            isolated: per_set(metrics::SET_ISOLATED_BACKENDS, "Backends out of rotation.")?,
            offered: per_set(metrics::SET_OFFERED_CONNECTIONS, "New connections per second.")?,
            pressure: per_set(metrics::SET_PRESSURE, "Pressure; 1 is as usual.")?,
        };
        made.register()?;
        Ok(made)
    }

    fn register(&self) -> Result<(), Error> {
        let add = |metric: Box<dyn prometheus::core::Collector>| self.registry.register(metric);
        add(Box::new(self.writes.clone()))?;
        add(Box::new(self.coalesced.clone()))?;
        add(Box::new(self.queue.clone()))?;
        add(Box::new(self.dropped.clone()))?;
        add(Box::new(self.quarantined.clone()))?;
        add(Box::new(self.distrusted.clone()))?;
        add(Box::new(self.mode.clone()))?;
        add(Box::new(self.passes.clone()))?;
        add(Box::new(self.pass_seconds.clone()))?;
        add(Box::new(self.leader.clone()))?;
        add(Box::new(self.epoch.clone()))?;
        add(Box::new(self.external.clone()))?;
        add(Box::new(self.scaler.clone()))?;
        add(Box::new(self.errors.clone()))?;
        add(Box::new(self.desired.clone()))?;
        add(Box::new(self.regime.clone()))?;
        add(Box::new(self.isolated.clone()))?;
        add(Box::new(self.offered.clone()))?;
        add(Box::new(self.pressure.clone()))?;
        Ok(())
    }

    /// Shows the mode.
    pub fn mode(&self, mode: Mode) {
        let index = Mode::ALL.iter().position(|known| *known == mode).unwrap_or(0);
        self.mode.set(i64::try_from(index).unwrap_or(0));
    }

    /// Counts an error.
    pub fn error(&self, category: Category) {
        self.errors.with_label_values(&[category.as_str()]).inc();
    }

    /// Counts what became of an offer.
    pub fn offer(&self, offer: Offer) {
        match offer {
            Offer::Merged => self.coalesced.inc(),
            Offer::Refused => self.dropped.inc(),
            Offer::Queued | Offer::Settled | Offer::Quarantined => {}
        }
    }

    /// Replaces the gauges of all sets.
    pub fn sets<'a>(&self, sets: impl Iterator<Item = &'a EquivalenceSet>) {
        for gauge in [
            &self.desired,
            &self.regime,
            &self.isolated,
            &self.offered,
            &self.pressure,
        ] {
            gauge.reset();
        }
        for set in sets.take(SETS_MAX) {
            self.set(set);
        }
    }

    fn set(&self, set: &EquivalenceSet) {
        let Some(status) = &set.status else { return };
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let labels = [namespace, &set.spec.service.name, &set.spec.port.label];
        let put = |gauge: &GaugeVec, figure: f64| {
            let gauge: Gauge = gauge.with_label_values(&labels);
            gauge.set(figure);
        };
        if let Some(hint) = &status.scale_hint {
            put(&self.desired, f64::from(hint.desired_replicas));
        }
        let regime = match status.regime {
            Regime::Laminar => 0.0,
            Regime::Recovery => 1.0,
            Regime::Transition => 2.0,
            Regime::Crisis => 3.0,
        };
        put(&self.regime, regime);
        put(&self.isolated, f64::from(status.backends.isolated));
        // Whole connections per second are exact enough for a gauge, and fit into 32 bits.
        let offered = i32::try_from(status.traffic.offered_milli_per_second / 1_000).unwrap_or(i32::MAX);
        put(&self.offered, f64::from(offered));
        if let Ok(pressure) = status.pressure.parse::<f64>() {
            put(&self.pressure, pressure);
        }
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// If a metric does not encode: a fault of ours.
    pub fn text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_once() {
        let metrics = Metrics::new().unwrap();
        metrics.error(Category::Conflict);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        assert!(
            text.contains("continuity_operator_errors_total{category=\"conflict\"} 1"),
            "{text}"
        );
    }
}
