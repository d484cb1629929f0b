//! All that the watches learnt, on three bounded shelves, and whether it is enough to act on.
//!
//! Nothing is derived before each of the three first lists is complete: with plans but half of the slices, backends would
//! vanish from the field for no reason (Cilium 26912, 48050).

use std::collections::{BTreeMap, BTreeSet};

use continuity_dataplane::capacity;
use continuity_sensors::PodId;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;

use super::endpoint::{Names, SliceRecord};
use super::plan::PlanRecord;
use super::service::{ServiceKey, ServiceRecord};
use super::shelf::Shelf;
use crate::gate::{Gate, GatePolicy, MOST_PODS, PodRecord};

// One set a plan and family; a plan beyond the maps could never be carried out.
const _: () = assert!(MAX_PLANS <= capacity::SETS as usize);

/// Plans followed: as many as the node's maps hold sets; the rest is refused, counted and left to kube-proxy.
pub const MAX_PLANS: usize = 1_024;

/// Services followed: 10,000 is the size of a large cluster, doubled; at 200 bytes that is 4 MB.
pub const MAX_SERVICES: usize = 20_000;

/// Slices followed: one or two a Service; an empty record is about 150 bytes.
pub const MAX_SLICES: usize = 40_000;

/// Namespaces whose labels are kept: the size at which a cluster's API server is no longer tested.
pub const MAX_NAMESPACES: usize = 10_000;

/// Key of a plan or a slice: namespace and name.
pub type ObjectKey = (Box<str>, Box<str>);

/// Everything learnt.
#[derive(Debug)]
pub struct Inventory {
    /// Plans.
    pub plans: Shelf<ObjectKey, PlanRecord>,
    /// Services.
    pub services: Shelf<ServiceKey, ServiceRecord>,
    /// Slices.
    pub slices: Shelf<ObjectKey, SliceRecord>,
    /// Pods of this node, by which callers are known.
    pub pods: Shelf<ObjectKey, PodRecord>,
    /// Labels of namespaces, by which rules select callers.
    pub namespaces: Shelf<Box<str>, BTreeMap<String, String>>,
    names: Names,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            plans: Shelf::new(MAX_PLANS),
            services: Shelf::new(MAX_SERVICES),
            slices: Shelf::new(MAX_SLICES),
            pods: Shelf::new(MOST_PODS),
            namespaces: Shelf::new(MAX_NAMESPACES),
            names: Names::default(),
        }
    }
}

impl Inventory {
    /// The three first lists are complete.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.plans.complete() && self.services.complete() && self.slices.complete()
    }

    /// Records refused for lack of room.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.plans
            .refused()
            .saturating_add(self.services.refused())
            .saturating_add(self.slices.refused())
            .saturating_add(self.pods.refused())
            .saturating_add(self.namespaces.refused())
    }

    /// Takes an event of the plan watch; the record is `None` for an object that could not be read. True when the
    /// desired state may have changed.
    pub fn plan(&mut self, event: Event<(ObjectKey, Option<PlanRecord>)>) -> bool {
        self.plans.take(event, Some)
    }

    /// Takes an event of the Service watch.
    pub fn service(&mut self, event: &Event<Service>) -> bool {
        match event {
            Event::Init => {
                self.services.begin();
                false
            }
            Event::InitDone => self.services.finish(),
            Event::Apply(object) | Event::InitApply(object) => {
                let Some((key, record)) = ServiceRecord::compact(object) else {
                    return false;
                };
                let planned = self.planned(&key);
                self.services.put(key, record) && planned
            }
            Event::Delete(object) => {
                let Some(key) = service_key(object) else {
                    return false;
                };
                let planned = self.planned(&key);
                self.services.remove(&key) && planned
            }
        }
    }

    /// Takes an event of the EndpointSlice watch.
    pub fn slice(&mut self, event: &Event<EndpointSlice>) -> bool {
        match event {
            Event::Init => {
                self.slices.begin();
                false
            }
            Event::InitDone => {
                let changed = self.slices.finish();
                self.names.sweep();
                changed
            }
            Event::Apply(object) | Event::InitApply(object) => {
                let Some(key) = slice_key(object) else {
                    return false;
                };
                let before = self
                    .slices
                    .get(&key)
                    .is_some_and(|record| self.planned(&record.service));
                let Some(record) = SliceRecord::compact(object, &mut self.names) else {
                    return self.slices.remove(&key) && before;
                };
                let planned = before || self.planned(&record.service);
                self.slices.put(key, record) && planned
            }
            Event::Delete(object) => {
                let Some(key) = slice_key(object) else {
                    return false;
                };
                let planned = self
                    .slices
                    .get(&key)
                    .is_some_and(|record| self.planned(&record.service));
                self.slices.remove(&key) && planned
            }
        }
    }

    /// Takes an event of the watch on this node's pods. Who calls is of interest only where a plan asks for admission.
    pub fn pod(&mut self, event: Event<PartialObjectMeta<Pod>>) -> bool {
        let read = |object: PartialObjectMeta<Pod>| pod_record(object.metadata);
        self.pods.take(event, read) && self.gated()
    }

    /// Takes an event of the watch on namespaces.
    pub fn namespace(&mut self, event: Event<PartialObjectMeta<Namespace>>) -> bool {
        let read = |object: PartialObjectMeta<Namespace>| {
            let ObjectMeta { name, labels, .. } = object.metadata;
            Some((Box::from(name?), Some(labels.unwrap_or_default())))
        };
        self.namespaces.take(event, read) && self.gated()
    }

    /// Some plan asks for admission.
    #[must_use]
    pub fn gated(&self) -> bool {
        self.plans.iter().any(|(_, plan)| plan.is_gated())
    }

    /// Admission of a lane of that namespace, with the callers that are known. A pod that is not known yet has the default
    /// class; nothing waits for it.
    #[must_use]
    pub fn gate(&self, policy: &GatePolicy, namespace: &str) -> Gate {
        policy.among(namespace, self.pods.iter(), |name| {
            self.namespaces.get(&Box::from(name))
        })
    }

    /// Slices of the Services that plans name, by Service, in one pass.
    #[must_use]
    pub fn planned_slices(&self) -> BTreeMap<&ServiceKey, Vec<&SliceRecord>> {
        let wanted: BTreeSet<&ServiceKey> = self.plans.iter().map(|(_, plan)| &plan.service).collect();
        let mut found: BTreeMap<&ServiceKey, Vec<&SliceRecord>> = BTreeMap::new();
        for (_, slice) in self.slices.iter() {
            if wanted.contains(&slice.service) {
                found.entry(&slice.service).or_default().push(slice);
            }
        }
        found
    }

    /// A plan names this Service. Plans are few beside Services, so a pass over them is cheaper than an index.
    fn planned(&self, key: &ServiceKey) -> bool {
        self.plans.iter().any(|(_, plan)| plan.service == *key)
    }
}

fn pod_record(metadata: ObjectMeta) -> Option<(ObjectKey, Option<PodRecord>)> {
    let key = (metadata.namespace?.into(), metadata.name?.into());
    let record = PodRecord {
        uid: PodId::new(&metadata.uid?)?,
        labels: metadata.labels.unwrap_or_default(),
    };
    Some((key, Some(record)))
}

fn service_key(object: &Service) -> Option<ServiceKey> {
    let metadata = &object.metadata;
    Some(ServiceKey::new(
        metadata.namespace.as_deref()?,
        metadata.name.as_deref()?,
    ))
}

fn slice_key(object: &EndpointSlice) -> Option<ObjectKey> {
    let metadata = &object.metadata;
    Some((
        metadata.namespace.as_deref()?.into(),
        metadata.name.as_deref()?.into(),
    ))
}
