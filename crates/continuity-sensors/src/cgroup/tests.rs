use proptest::prelude::*;

use super::*;

const ROOT: &str = "/host/sys/fs/cgroup";

fn layout(controllers: &[(&str, &str)], there: &[&str]) -> Option<Layout> {
    let text = |place: &Path| {
        let known = controllers.iter().find(|(at, _)| Path::new(at) == place);
        known.map(|(_, text)| (*text).to_owned())
    };
    Layout::find(Path::new(ROOT), text, |place| {
        there.iter().any(|at| Path::new(at) == place)
    })
}

#[test]
fn a_pure_node_has_everything_in_the_unified_hierarchy() {
    let layout = layout(&[(ROOT, "cpuset cpu io memory hugetlb pids rdma\n")], &[]).expect("a layout");
    let root = PathBuf::from(ROOT);
    assert_eq!(layout.memory, Some((Version::V2, root.clone())));
    assert_eq!(layout.cpu, Some((Version::V2, root.clone())));
    assert_eq!(layout.hierarchies(), [root.as_path()]);
}

#[test]
fn a_hybrid_node_has_its_limits_in_version_1_and_pressure_in_version_2() {
    let layout = layout(
        &[("/host/sys/fs/cgroup/unified", "\n")],
        &[
            "/host/sys/fs/cgroup/memory",
            "/host/sys/fs/cgroup/cpu",
            "/host/sys/fs/cgroup/cpuacct",
            "/host/sys/fs/cgroup/pids",
        ],
    )
    .expect("a layout");
    let place = |name: &str| PathBuf::from(ROOT).join(name);
    assert_eq!(layout.unified, Some(place("unified")));
    assert_eq!(layout.memory, Some((Version::V1, place("memory"))));
    assert_eq!(layout.cpu, Some((Version::V1, place("cpu"))));
    assert_eq!(layout.cpuacct, Some(place("cpuacct")));
    assert_eq!(layout.hierarchies().len(), 5);
}

#[test]
fn no_hierarchy_is_no_layout() {
    assert_eq!(layout(&[], &[]), None);
}

const STAT_2: &str = "anon 400\nfile 700\ninactive_anon 1\ninactive_file 600\n";
const STAT_1: &str = "cache 700\ninactive_file 1\ntotal_inactive_file 600\n";

#[test]
fn what_the_kernel_can_drop_is_not_in_use() {
    let unified = memory("1100\n", "2000\n", STAT_2, Version::V2).expect("a level");
    assert_eq!((unified.used, unified.limit), (500, Some(2_000)));
    let first = memory("1100\n", "2000\n", STAT_1, Version::V1).expect("a level");
    assert_eq!(first, unified);
    assert_eq!(
        memory("1100\n", "2000\n", "", Version::V2),
        Err("inactive_file"),
        "a missing figure is not zero"
    );
}

#[test]
fn both_versions_say_no_limit_in_their_own_way() {
    let unified = memory("1100\n", "max\n", STAT_2, Version::V2).expect("a level");
    let first = memory("1100\n", "9223372036854771712\n", STAT_1, Version::V1).expect("a level");
    assert_eq!((unified.limit, first.limit), (None, None));
    assert_eq!(memory("1100\n", "\n", STAT_2, Version::V2), Err("limit"));
}

#[test]
fn cpu_time_and_quota_agree_in_both_versions() {
    let unified = cpu_unified(
        "usage_usec 7000\nuser_usec 5000\nnr_periods 4\nnr_throttled 2\nthrottled_usec 900\n",
        "150000 100000\n",
    );
    let first = cpu_first(
        "7000000\n",
        "nr_periods 4\nnr_throttled 2\nthrottled_time 900000\n",
        "150000\n",
        "100000\n",
    );
    let expected = Throughput {
        used_micros: 7_000,
        throttled_micros: 900,
        quota_milli: Some(1_500),
    };
    assert_eq!((unified, first), (Ok(expected), Ok(expected)));
}

#[test]
fn no_quota_is_none() {
    let unified = cpu_unified("usage_usec 7\n", "max 100000\n").expect("figures");
    let first = cpu_first("7000\n", "throttled_time 0\n", "-1\n", "100000\n").expect("figures");
    assert_eq!((unified.quota_milli, first.quota_milli), (None, None));
    assert_eq!(cpu_unified("", "max 100000\n"), Err("usage_usec"));
    let never = cpu_first("7000\n", "throttled_time 0\n", "5\n", "0\n").expect("figures");
    assert_eq!(never.quota_milli, None, "a period of nothing divides nothing");
}

#[test]
fn processes_are_read() {
    let level = processes("12\n", "max\n").expect("a level");
    assert_eq!((level.used, level.limit), (12, None));
    assert_eq!(processes("12\n", "512\n").expect("a level").limit, Some(512));
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(one in "[-0-9a-z_ \\n]{0,60}", other in "[-0-9max ]{0,24}") {
        let _ = memory(&other, &other, &one, Version::V2);
        let _ = cpu_unified(&one, &other);
        let _ = cpu_first(&other, &one, &other, &other);
        let _ = processes(&other, &other);
    }
}
