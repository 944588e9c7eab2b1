//! `/ext/metrics`: the counters of all machines under AvalancheGo's names, as Prometheus text.
//!
//! The machines count in plain fields; each scrape turns them into metric families here, the only
//! place where names are given. Upstream names: `avalanche_<namespace>_<series>`, per-chain series
//! with the label `chain`.

use std::collections::BTreeMap;

use prometheus::{
    Encoder as _, TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};
use sastrugi_consensus::snowman::{self, Observations, poll};
use sastrugi_engine::{
    bootstrap::{self, Phase},
    chain::Lane,
    getter::GetterStats,
    snowman::{Gauges, IssueSource, Snowman, Stats},
};
use sastrugi_types::Id;
use sastrugi_vm::Clock as _;

use crate::node::{CatchingUp, ChainEntry, Picture, Shared};

/// Everything the consensus gear of a chain counts.
#[derive(Clone, Debug, Default)]
pub struct SnowmanFigures {
    /// The last accepted block.
    pub last_accepted: Id,
    /// Blocks that are undecided.
    pub processing: usize,
    /// Polls that are open.
    pub open_polls: usize,
    /// What consensus counts.
    pub consensus: snowman::Stats,
    /// What the polls count.
    pub polls: poll::Stats,
    /// What the gear counts.
    pub gear: Stats,
    /// What the gear holds.
    pub gauges: Gauges,
    /// What was served.
    pub getter: GetterStats,
}

impl SnowmanFigures {
    /// The figures of a gear now.
    pub fn of(gear: &Snowman) -> Self {
        let consensus = gear.consensus();
        Self {
            last_accepted: consensus.last_accepted().0,
            processing: consensus.num_processing(),
            open_polls: gear.polls().len(),
            consensus: *consensus.stats(),
            polls: *gear.polls().stats(),
            gear: *gear.stats(),
            gauges: gear.gauges(),
            getter: gear.getter().stats(),
        }
    }
}

/// The metrics of a node as text.
pub(crate) fn render(node: &Shared) -> String {
    let mut page = Page::default();
    node_wide(&mut page, node);
    for chain in node.chains() {
        chain_figures(&mut page, chain);
    }
    page.text()
}

fn node_wide(page: &mut Page, node: &Shared) {
    network_figures(page, &node.network().stats());
    let now = node.clock().now();
    let router = node.router().lock();
    let requests = |series: &str| format!("avalanche_requests_{series}");
    page.gauge(&requests("outstanding"), "requests without an outcome", &[], router.outstanding());
    page.gauge_f64(
        &requests("longest_running"),
        "age of the oldest request, ns",
        &[],
        router.longest_running(now).as_nanos() as f64,
    );
    page.counter(
        &requests("dropped"),
        "messages dropped while a chain executes",
        &[],
        router.stats().dropped_executing,
    );
    page.gauge_f64(
        &requests("current_timeout"),
        "request timeout, ns",
        &[],
        router.timeout().as_nanos() as f64,
    );
    page.gauge_f64(
        &requests("average_latency"),
        "average latency of responses, ns",
        &[],
        router.average_latency_nanos(),
    );
    page.counter(&requests("timeouts"), "requests that timed out", &[], router.stats().timed_out);
    drop(router);
    for (name, result) in node.checks().run(node) {
        let labels = [("check", "health"), ("tag", "all"), ("name", name.as_str())];
        let failing = u64::from(!result.health.is_healthy());
        page.gauge_f64(
            "avalanche_health_checks_failing",
            "checks that fail",
            &labels,
            failing as f64,
        );
    }
}

fn network_figures(page: &mut Page, stats: &sastrugi_net::Stats) {
    let name = |series: &str| format!("avalanche_network_{series}");
    page.gauge(&name("peers"), "connected peers", &[], stats.peers);
    page.gauge(&name("tracked"), "peers kept connected by dialling", &[], stats.tracked);
    for (subnet, peers) in &stats.peers_subnet {
        let subnet = subnet.to_string();
        let labels = [("subnetID", subnet.as_str())];
        page.gauge(&name("peers_subnet"), "connected peers by subnet", &labels, *peers);
    }
    for (series, help, value) in [
        ("times_connected", "finished handshakes", stats.times_connected),
        ("times_disconnected", "connections lost", stats.times_disconnected),
        ("accept_failed", "errors while accepting", stats.accept_failed),
        ("tls_conn_rejected", "failed TLS handshakes", stats.tls_conn_rejected),
        (
            "inbound_conn_throttler_allowed",
            "connections accepted",
            stats.inbound_conn_throttler_allowed,
        ),
        (
            "inbound_conn_throttler_rate_limited",
            "connections refused",
            stats.inbound_conn_throttler_rate_limited,
        ),
        ("msgs_failed_to_parse", "frames not understood", stats.msgs_failed_to_parse),
        (
            "throttler_outbound_acquire_successes",
            "messages queued",
            stats.throttler_outbound_acquire_successes,
        ),
        (
            "throttler_outbound_acquire_failures",
            "messages refused",
            stats.throttler_outbound_acquire_failures,
        ),
    ] {
        page.counter(&name(series), help, &[], value);
    }
    let at_large = stats.throttler_outbound_remaining_at_large_bytes as f64;
    let validator = stats.throttler_outbound_remaining_validator_bytes as f64;
    let since = |span: Option<std::time::Duration>| span.map_or(0.0, |span| span.as_nanos() as f64);
    for (series, help, value) in [
        ("send_fail_rate", "part of the sends that failed lately", stats.send_fail_rate),
        ("time_since_last_msg_received", "ns", since(stats.time_since_last_msg_received)),
        ("time_since_last_msg_sent", "ns", since(stats.time_since_last_msg_sent)),
        ("throttler_outbound_remaining_at_large_bytes", "bytes left for all", at_large),
        ("throttler_outbound_remaining_validator_bytes", "bytes left for validators", validator),
        ("round_trip_sum", "sum of ping times, ms", stats.round_trip.sum),
        ("clock_skew_sum", "sum of clock differences, s", stats.clock_skew.sum),
    ] {
        page.gauge_f64(&name(series), help, &[], value);
    }
    page.counter(&name("round_trip_count"), "answered pings", &[], stats.round_trip.count);
    page.counter(&name("clock_skew_count"), "handshakes", &[], stats.clock_skew.count);
    message_figures(page, &stats.messages);
}

fn message_figures(page: &mut Page, messages: &[sastrugi_net::OpStats]) {
    let name = |series: &str| format!("avalanche_network_{series}");
    for seen in messages {
        let op = seen.op.label();
        for (io, compressed, count) in [
            ("sent", "false", seen.sent),
            ("sent", "true", seen.sent_compressed),
            ("received", "false", seen.received),
            ("received", "true", seen.received_compressed),
        ] {
            let labels = [("compressed", compressed), ("io", io), ("op", op)];
            page.counter(&name("msgs"), "messages", &labels, count);
        }
        for (io, bytes) in [("sent", seen.sent_bytes), ("received", seen.received_bytes)] {
            let labels = [("io", io), ("op", op)];
            page.counter(&name("msgs_bytes"), "bytes of messages", &labels, bytes);
        }
    }
}

fn chain_figures(page: &mut Page, chain: &ChainEntry) {
    let picture = chain.view.look();
    let labels = [("chain", chain.name.as_str())];
    let figures = &picture.snowman;
    consensus_figures(page, &picture, &labels);
    poll_figures(page, &figures.polls, &labels);
    gear_figures(page, figures, &labels);
    bootstrap_figures(page, chain, &picture, &labels);
    let handler = |series: &str| format!("avalanche_handler_{series}");
    for (lane, name) in [(Lane::Sync, "sync"), (Lane::App, "async")] {
        let stats = chain.view.inbox().stats(lane);
        let waiting = handler(&format!("{name}_unprocessed_msgs_count"));
        page.gauge(&waiting, "messages that wait", &labels, stats.waiting);
        let labels = [labels[0], ("queue", name)];
        page.counter(&handler("expired"), "messages that expired", &labels, stats.expired);
        page.counter(
            &handler("refused"),
            "messages refused by a full queue",
            &labels,
            stats.refused,
        );
    }
    page.counter(&handler("messages"), "messages handled", &labels, picture.stats.handled);
    let connected = chain.peers.connected_fraction();
    page.gauge_f64(
        "avalanche_stake_percent_connected",
        "connected part of the weight",
        &labels,
        connected,
    );
    let total = chain.peers.total_weight() as f64;
    page.gauge_f64("avalanche_stake_total_weight", "weight of all validators", &labels, total);
    let count = chain.peers.validators().len();
    page.gauge("avalanche_stake_num_validators", "validators", &labels, count);
}

/// What was fetched and executed while catching up, when that is over, and from how many peers. The
/// time until all is fetched is not among upstream's.
fn bootstrap_figures(page: &mut Page, chain: &ChainEntry, picture: &Picture, labels: Labels<'_>) {
    let name = snowman_name;
    let bootstrap::Stats { fetched, accepted, .. } = picture.bootstrap;
    page.counter(&name("bs_fetched"), "blocks fetched while bootstrapping", labels, fetched);
    page.counter(&name("bs_accepted"), "blocks accepted while bootstrapping", labels, accepted);
    let left = |wanted: fn(&Phase) -> bool| match &picture.catching_up {
        Some(CatchingUp::Bootstrapping(progress)) if wanted(&progress.phase) => {
            progress.eta.unwrap_or_default().as_nanos() as f64
        }
        _ => 0.0,
    };
    let fetching = left(|phase| matches!(phase, Phase::Fetching { .. }));
    let executing = left(|phase| matches!(phase, Phase::Executing { .. }));
    page.gauge_f64(
        &name("eta_fetching_complete"),
        "time until all blocks are fetched, ns",
        labels,
        fetching,
    );
    page.gauge_f64(
        &name("eta_execution_complete"),
        "time until all fetched blocks are executed, ns",
        labels,
        executing,
    );
    let name = |series: &str| format!("avalanche_p2p_peer_tracker_{series}");
    let peers = chain.peer_tracker.snapshot();
    let tracked = peers.untried.len() + peers.tried.len();
    page.gauge(&name("num_tracked_peers"), "peers to fetch from", labels, tracked);
    let responsive = peers.responsive.len();
    page.gauge(&name("num_responsive_peers"), "those that answered last", labels, responsive);
    page.gauge_f64(
        &name("average_bandwidth"),
        "average bandwidth of answers, bytes/s",
        labels,
        peers.average_bandwidth,
    );
}

type Labels<'a> = &'a [(&'a str, &'a str)];

fn snowman_name(series: &str) -> String {
    format!("avalanche_snowman_{series}")
}

fn consensus_figures(page: &mut Page, picture: &Picture, labels: Labels<'_>) {
    let figures = &picture.snowman;
    let stats = &figures.consensus;
    let name = snowman_name;
    let mut gauge = |series: &str, help: &str, value: f64| {
        page.gauge_f64(&name(series), help, labels, value);
    };
    gauge("max_verified_height", "highest verified height", stats.max_verified_height as f64);
    gauge("last_accepted_height", "last accepted height", picture.last_accepted.1 as f64);
    let timestamp = stats.last_accepted_timestamp.unix_secs() as f64;
    gauge("last_accepted_timestamp", "time of the last accepted block, s", timestamp);
    gauge("blks_processing", "undecided blocks", figures.processing as f64);
    gauge("blks_accepted_container_size_sum", "bytes accepted", stats.accepted_bytes as f64);
    gauge("blks_rejected_container_size_sum", "bytes rejected", stats.rejected_bytes as f64);
    gauge(
        "blks_build_accept_latency",
        "sum of ages at acceptance, ns",
        stats.build_accept_latency as f64,
    );
    gauge("polls", "open polls", figures.open_polls as f64);
    page.averager(
        &name("blks_accepted"),
        "time from issue to acceptance, ns",
        labels,
        &stats.accepted,
    );
    page.averager(
        &name("blks_rejected"),
        "time from issue to rejection, ns",
        labels,
        &stats.rejected,
    );
    page.averager(
        &name("blks_polls_accepted"),
        "polls until acceptance",
        labels,
        &stats.polls_accepted,
    );
    page.averager(
        &name("blks_polls_rejected"),
        "polls until rejection",
        labels,
        &stats.polls_rejected,
    );
    page.counter(&name("polls_successful"), "successful polls", labels, stats.polls_successful);
    page.counter(&name("polls_failed"), "failed polls", labels, stats.polls_failed);
    page.latencies(&name("consensus_latencies"), "age at acceptance, ns", labels, &stats.latencies);
}

fn poll_figures(page: &mut Page, polls: &poll::Stats, labels: Labels<'_>) {
    let name = snowman_name;
    page.averager(&name("poll_duration"), "time of polls, ns", labels, &polls.released);
    for (reason, ended) in [
        ("exhausted", &polls.exhausted),
        ("early_fail", &polls.early_fail),
        ("early_alpha", &polls.early_alpha),
    ] {
        let labels = [labels, &[("reason", reason)]].concat();
        page.counter(&name("poll_count"), "ended polls", &labels, ended.count);
        page.gauge_f64(
            &name("poll_duration"),
            "time of ended polls, ns",
            &labels,
            ended.sum as f64,
        );
    }
}

fn gear_figures(page: &mut Page, figures: &SnowmanFigures, labels: Labels<'_>) {
    let SnowmanFigures { gear, gauges, .. } = figures;
    let name = snowman_name;
    for (series, help, value) in [
        (
            "bootstrap_finished",
            "whether the chain takes part in consensus",
            usize::from(gear.started),
        ),
        ("requests", "outstanding requests for blocks", gauges.requests),
        ("blocked", "blocks that wait for an ancestor", gauges.blocked),
        ("blockers", "blocks that something waits for", gauges.blockers),
        ("non_verified_blks", "blocks known but not issued", gauges.unverified),
    ] {
        page.gauge(&name(series), help, labels, value);
    }
    page.gauge_f64(
        &name("blks_built_time_skew"),
        "sum of the ages of built blocks, ns",
        labels,
        gear.built_time_skew_nanos as f64,
    );
    for (series, help, value) in [
        ("blks_built", "blocks built", gear.built),
        ("blk_builds_failed", "builds that failed", gear.builds_failed),
        ("num_useless_put_bytes", "bytes of known blocks in answers", gear.useless_put_bytes),
        (
            "num_useless_push_query_bytes",
            "bytes of known blocks in queries",
            gear.useless_push_query_bytes,
        ),
        (
            "num_missing_accepted_blocks",
            "accepted blocks the VM lacks",
            gear.missing_accepted_blocks,
        ),
        (
            "num_processing_ancestor_fetches_failed",
            "votes without an ancestor",
            gear.ancestor_fetches_failed,
        ),
        (
            "num_processing_ancestor_fetches_dropped",
            "votes for what is decided",
            gear.ancestor_fetches_dropped,
        ),
        (
            "num_processing_ancestor_fetches_succeeded",
            "votes that went to an ancestor",
            gear.ancestor_fetches_succeeded,
        ),
        (
            "num_processing_ancestor_fetches_unneeded",
            "votes for processing blocks",
            gear.ancestor_fetches_unneeded,
        ),
    ] {
        page.counter(&name(series), help, labels, value);
    }
    issue_figures(page, figures, labels);
}

fn issue_figures(page: &mut Page, figures: &SnowmanFigures, labels: Labels<'_>) {
    let SnowmanFigures { gear, getter, .. } = figures;
    let name = snowman_name;
    for (source, count) in IssueSource::ALL.iter().zip(gear.issued) {
        let labels = [labels, &[("source", source.label())]].concat();
        page.counter(&name("blks_issued"), "blocks issued", &labels, count);
    }
    let tallies = [
        ("selected_vote_index", gear.selected_vote_index.count, gear.selected_vote_index.sum),
        ("issuer_stake", gear.issuer_stake.count, gear.issuer_stake.sum),
        ("get_ancestors_blks", getter.ancestors_answers, getter.ancestors_blocks),
    ];
    for (series, count, sum) in tallies {
        let seen = Observations { count, sum: i64::try_from(sum).unwrap_or(i64::MAX) };
        page.averager(&name(series), series, labels, &seen);
    }
}

/// Metric families under construction, by name.
#[derive(Default)]
struct Page(BTreeMap<String, MetricFamily>);

impl Page {
    fn add(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: usize) {
        self.gauge_f64(name, help, labels, value as f64);
    }

    fn gauge_f64(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// Upstream's averager: a counter `…_count` and a gauge `…_sum`.
    fn averager(&mut self, name: &str, help: &str, labels: Labels<'_>, seen: &Observations) {
        self.counter(
            &format!("{name}_count"),
            &format!("# of observations of {help}"),
            labels,
            seen.count,
        );
        self.gauge_f64(&format!("{name}_sum"), &format!("sum of {help}"), labels, seen.sum as f64);
    }

    fn latencies(&mut self, name: &str, help: &str, labels: Labels<'_>, seen: &snowman::Latencies) {
        let mut cumulative = 0;
        let mut histogram = Histogram::default();
        let buckets = snowman::LATENCY_BOUNDS.iter().zip(seen.buckets).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(seen.all.count);
        histogram.set_sample_sum(seen.all.sum as f64);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    fn text(self) -> String {
        let families: Vec<MetricFamily> = self.0.into_values().collect();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}
