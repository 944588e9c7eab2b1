//! The fields of a case as a generated message.

use sastrugi_conformance::Fields;
use sastrugi_wire::generated::p2p::{self, message::Message, simplex::Message as Member};

/// The message of the operation with these fields, every one of which is read.
pub(crate) fn message(op: &str, mut fields: Fields) -> p2p::Message {
    let it = &mut fields;
    let message = match op {
        "ping" => Message::Ping(p2p::Ping { uptime: it.take("uptime") }),
        "pong" => Message::Pong(p2p::Pong {}),
        "handshake" => Message::Handshake(handshake(it)),
        "get_peerlist" => Message::GetPeerList(p2p::GetPeerList {
            known_peers: nested(it, "known_peers", bloom_filter),
            all_subnets: it.take("all_subnets"),
        }),
        "peerlist" => Message::PeerList(p2p::PeerList {
            claimed_ip_ports: it.list("claimed_ip_ports").into_iter().map(claim).collect(),
        }),
        "simplex" => Message::Simplex(simplex(it)),
        _ => chain_message(op, it),
    };
    fields.finish();
    p2p::Message { message: Some(message) }
}

fn chain_message(op: &str, it: &mut Fields) -> Message {
    let chain_id = it.bytes("chain_id").into();
    if op == "app_gossip" {
        return Message::AppGossip(p2p::AppGossip {
            chain_id,
            app_bytes: it.bytes("app_bytes").into(),
        });
    }
    let request_id = it.take("request_id");
    if !it.has("deadline") {
        return response(op, it, chain_id, request_id);
    }
    request(op, it, chain_id, request_id)
}

fn request(op: &str, it: &mut Fields, chain_id: bytes::Bytes, request_id: u32) -> Message {
    let deadline = it.u64("deadline");
    match op {
        "get_state_summary_frontier" => {
            Message::GetStateSummaryFrontier(p2p::GetStateSummaryFrontier {
                chain_id,
                request_id,
                deadline,
            })
        }
        "get_accepted_state_summary" => {
            let heights = numbers(it, "heights");
            Message::GetAcceptedStateSummary(p2p::GetAcceptedStateSummary {
                chain_id,
                request_id,
                deadline,
                heights,
            })
        }
        "get_accepted_frontier" => Message::GetAcceptedFrontier(p2p::GetAcceptedFrontier {
            chain_id,
            request_id,
            deadline,
        }),
        "get_accepted" => {
            let container_ids = byte_strings(it, "container_ids");
            Message::GetAccepted(p2p::GetAccepted { chain_id, request_id, deadline, container_ids })
        }
        "get_ancestors" => {
            let (container_id, engine_type) =
                (it.bytes("container_id").into(), it.take("engine_type"));
            Message::GetAncestors(p2p::GetAncestors {
                chain_id,
                request_id,
                deadline,
                container_id,
                engine_type,
            })
        }
        "get" => {
            let container_id = it.bytes("container_id").into();
            Message::Get(p2p::Get { chain_id, request_id, deadline, container_id })
        }
        "push_query" => Message::PushQuery(p2p::PushQuery {
            chain_id,
            request_id,
            deadline,
            container: it.bytes("container").into(),
            requested_height: it.u64("requested_height"),
        }),
        "pull_query" => Message::PullQuery(p2p::PullQuery {
            chain_id,
            request_id,
            deadline,
            container_id: it.bytes("container_id").into(),
            requested_height: it.u64("requested_height"),
        }),
        "app_request" => {
            let app_bytes = it.bytes("app_bytes").into();
            Message::AppRequest(p2p::AppRequest { chain_id, request_id, deadline, app_bytes })
        }
        _ => panic!("{}: unknown op {op}", it.name),
    }
}

fn response(op: &str, it: &mut Fields, chain_id: bytes::Bytes, request_id: u32) -> Message {
    match op {
        "state_summary_frontier" => {
            let summary = it.bytes("summary").into();
            Message::StateSummaryFrontier(p2p::StateSummaryFrontier {
                chain_id,
                request_id,
                summary,
            })
        }
        "accepted_state_summary" => {
            let summary_ids = byte_strings(it, "summary_ids");
            Message::AcceptedStateSummary(p2p::AcceptedStateSummary {
                chain_id,
                request_id,
                summary_ids,
            })
        }
        "accepted_frontier" => {
            let container_id = it.bytes("container_id").into();
            Message::AcceptedFrontier(p2p::AcceptedFrontier { chain_id, request_id, container_id })
        }
        "accepted" => {
            let container_ids = byte_strings(it, "container_ids");
            Message::Accepted(p2p::Accepted { chain_id, request_id, container_ids })
        }
        "ancestors" => {
            let containers = byte_strings(it, "containers");
            Message::Ancestors(p2p::Ancestors { chain_id, request_id, containers })
        }
        "put" => {
            let container = it.bytes("container").into();
            Message::Put(p2p::Put { chain_id, request_id, container })
        }
        "chits" => Message::Chits(p2p::Chits {
            chain_id,
            request_id,
            preferred_id: it.bytes("preferred_id").into(),
            accepted_id: it.bytes("accepted_id").into(),
            preferred_id_at_height: it.bytes("preferred_id_at_height").into(),
            accepted_height: it.u64("accepted_height"),
        }),
        "app_response" => {
            let app_bytes = it.bytes("app_bytes").into();
            Message::AppResponse(p2p::AppResponse { chain_id, request_id, app_bytes })
        }
        "app_error" => Message::AppError(p2p::AppError {
            chain_id,
            request_id,
            error_code: it.take("error_code"),
            error_message: it.take("error_message"),
        }),
        _ => panic!("{}: unknown op {op}", it.name),
    }
}

fn handshake(it: &mut Fields) -> p2p::Handshake {
    p2p::Handshake {
        network_id: it.take("network_id"),
        my_time: it.u64("my_time"),
        ip_addr: it.bytes("ip_addr").into(),
        ip_port: it.take("ip_port"),
        upgrade_time: it.u64("upgrade_time"),
        ip_signing_time: it.u64("ip_signing_time"),
        ip_node_id_sig: it.bytes("ip_node_id_sig").into(),
        tracked_subnets: byte_strings(it, "tracked_subnets"),
        client: nested(it, "client", |it| p2p::Client {
            name: it.take("name"),
            major: it.take("major"),
            minor: it.take("minor"),
            patch: it.take("patch"),
        }),
        supported_acps: it.or_default("supported_acps"),
        objected_acps: it.or_default("objected_acps"),
        known_peers: nested(it, "known_peers", bloom_filter),
        ip_bls_sig: it.bytes("ip_bls_sig").into(),
        all_subnets: it.take("all_subnets"),
    }
}

fn claim(mut it: Fields) -> p2p::ClaimedIpPort {
    let claim = p2p::ClaimedIpPort {
        x509_certificate: it.bytes("x509_certificate").into(),
        ip_addr: it.bytes("ip_addr").into(),
        ip_port: it.take("ip_port"),
        timestamp: it.u64("timestamp"),
        signature: it.bytes("signature").into(),
        tx_id: it.bytes("tx_id").into(),
    };
    it.finish();
    claim
}

fn bloom_filter(it: &mut Fields) -> p2p::BloomFilter {
    p2p::BloomFilter { filter: it.bytes("filter").into(), salt: it.bytes("salt").into() }
}

fn simplex(it: &mut Fields) -> p2p::Simplex {
    let chain_id = it.bytes("chain_id").into();
    let message = match it.keys().first().map_or("", String::as_str) {
        "" => None,
        "block_proposal" => nested(it, "block_proposal", block_proposal).map(Member::BlockProposal),
        "vote" => nested(it, "vote", vote).map(Member::Vote),
        "empty_vote" => nested(it, "empty_vote", empty_vote).map(Member::EmptyVote),
        "finalize_vote" => nested(it, "finalize_vote", vote).map(Member::FinalizeVote),
        "notarization" => nested(it, "notarization", certificate).map(Member::Notarization),
        "empty_notarization" => {
            nested(it, "empty_notarization", empty_notarization).map(Member::EmptyNotarization)
        }
        "finalization" => nested(it, "finalization", certificate).map(Member::Finalization),
        "replication_request" => nested(it, "replication_request", |it| p2p::ReplicationRequest {
            seqs: numbers(it, "seqs"),
            latest_round: it.u64("latest_round"),
        })
        .map(Member::ReplicationRequest),
        "replication_response" => {
            nested(it, "replication_response", |it| p2p::ReplicationResponse {
                data: it
                    .list("data")
                    .into_iter()
                    .map(|mut it| {
                        let round = quorum_round(&mut it);
                        it.finish();
                        round
                    })
                    .collect(),
                latest_round: nested(it, "latest_round", quorum_round),
            })
            .map(Member::ReplicationResponse)
        }
        other => panic!("{}: unknown member {other}", it.name),
    };
    p2p::Simplex { chain_id, message }
}

fn block_proposal(it: &mut Fields) -> p2p::BlockProposal {
    p2p::BlockProposal { block: it.bytes("block").into(), vote: nested(it, "vote", vote) }
}

fn vote(it: &mut Fields) -> p2p::Vote {
    p2p::Vote {
        block_header: nested(it, "block_header", block_header),
        signature: nested(it, "signature", signature),
    }
}

fn empty_vote(it: &mut Fields) -> p2p::EmptyVote {
    p2p::EmptyVote {
        metadata: nested(it, "metadata", empty_vote_metadata),
        signature: nested(it, "signature", signature),
    }
}

fn certificate(it: &mut Fields) -> p2p::QuorumCertificate {
    p2p::QuorumCertificate {
        block_header: nested(it, "block_header", block_header),
        quorum_certificate: it.bytes("quorum_certificate").into(),
    }
}

fn empty_notarization(it: &mut Fields) -> p2p::EmptyNotarization {
    p2p::EmptyNotarization {
        metadata: nested(it, "metadata", empty_vote_metadata),
        quorum_certificate: it.bytes("quorum_certificate").into(),
    }
}

fn quorum_round(it: &mut Fields) -> p2p::QuorumRound {
    p2p::QuorumRound {
        block: it.bytes("block").into(),
        notarization: nested(it, "notarization", certificate),
        empty_notarization: nested(it, "empty_notarization", empty_notarization),
        finalization: nested(it, "finalization", certificate),
    }
}

fn block_header(it: &mut Fields) -> p2p::BlockHeader {
    p2p::BlockHeader {
        metadata: nested(it, "metadata", |it| p2p::ProtocolMetadata {
            version: it.take("version"),
            epoch: it.u64("epoch"),
            round: it.u64("round"),
            seq: it.u64("seq"),
            prev: it.bytes("prev").into(),
        }),
        digest: it.bytes("digest").into(),
    }
}

fn empty_vote_metadata(it: &mut Fields) -> p2p::EmptyVoteMetadata {
    p2p::EmptyVoteMetadata { epoch: it.u64("epoch"), round: it.u64("round") }
}

fn signature(it: &mut Fields) -> p2p::Signature {
    p2p::Signature { signer: it.bytes("signer").into(), value: it.bytes("value").into() }
}

/// A message inside, or `None` where it is absent.
fn nested<T>(it: &mut Fields, key: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
    let value: serde_json::Value = it.take(key);
    if value.is_null() {
        return None;
    }
    let mut inner = Fields::of(&format!("{}.{key}", it.name), value);
    let read = read(&mut inner);
    inner.finish();
    Some(read)
}

fn numbers(it: &mut Fields, key: &str) -> Vec<u64> {
    let texts: Vec<String> = it.or_default(key);
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn byte_strings(it: &mut Fields, key: &str) -> Vec<bytes::Bytes> {
    let texts: Vec<String> = it.or_default(key);
    texts.iter().map(|text| const_hex::decode(text).unwrap().into()).collect()
}
