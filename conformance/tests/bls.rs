//! BLS keys, signatures, their sums, and proofs of possession.

#![expect(clippy::unwrap_used, reason = "a case that is not as expected must fail the test")]

use sastrugi_conformance::{Fields, cases};
use sastrugi_crypto::bls::{BlsError, ProofOfPossession, PublicKey, SecretKey, Signature};

#[test]
fn bls() {
    for mut case in cases("bls") {
        let kind: String = case.take("kind");
        case.skip("name");
        match kind.as_str() {
            "secret_key" => secret_key(&mut case),
            "sign" => sign(&mut case),
            "verify" => verify(&mut case),
            "public_key" => public_key(&mut case),
            "public_key_uncompressed" => public_key_uncompressed(&mut case),
            "signature" => signature(&mut case),
            "aggregate_public_keys" => aggregate_public_keys(&mut case),
            "aggregate_signatures" => aggregate_signatures(&mut case),
            "pop" => proof(&mut case),
            "pop_json" => proof_json(&mut case),
            other => panic!("{}: unknown kind {other}", case.name),
        }
        case.finish();
    }
}

/// Upstream's text of the error.
fn class(error: BlsError) -> &'static str {
    match error {
        BlsError::SecretKey => "couldn't deserialize secret key",
        BlsError::PublicKeyEncoding => "couldn't decompress public key",
        BlsError::PublicKeyInvalid => "invalid public key",
        BlsError::SignatureEncoding => "couldn't decompress signature",
        BlsError::SignatureInvalid => "invalid signature",
        BlsError::NoPublicKeys => "no public keys",
        BlsError::NoSignatures => "no signatures",
        BlsError::ProofInvalid => "invalid proof of possession",
        BlsError::HexPrefix => "missing 0x prefix to hex encoding",
        BlsError::Hex => "invalid hex",
    }
}

/// Takes `error` and compares it; gives the value if there is to be one.
fn expect<T>(case: &mut Fields, result: Result<T, BlsError>) -> Option<T> {
    let expected: Option<String> = case.maybe("error");
    let found = result.as_ref().err().map(|&error| class(error));
    assert_eq!(found, expected.as_deref(), "{}", case.name);
    result.ok()
}

/// As [`expect`], and `ok` must say the same.
fn expect_ok<T>(case: &mut Fields, result: Result<T, BlsError>) -> Option<T> {
    let ok: bool = case.take("ok");
    assert_eq!(result.is_ok(), ok, "{}", case.name);
    expect(case, result)
}

fn secret_key(case: &mut Fields) {
    let bytes = case.bytes("sk");
    if let Some(key) = expect_ok(case, SecretKey::from_bytes(&bytes)) {
        assert_eq!(key.to_bytes(), *case.bytes("sk_back"), "{}", case.name);
        assert_eq!(key.public_key().to_compressed(), *case.bytes("pk"), "{}", case.name);
        let uncompressed = case.bytes("pk_uncompressed");
        assert_eq!(key.public_key().to_uncompressed(), *uncompressed, "{}", case.name);
    }
}

fn sign(case: &mut Fields) {
    let key = SecretKey::from_bytes(&case.bytes("sk")).unwrap();
    let message = case.bytes("message");
    assert_eq!(key.sign(&message).to_bytes(), *case.bytes("sig"), "{}", case.name);
    let possession = key.sign_proof_of_possession(&message).to_bytes();
    assert_eq!(possession, *case.bytes("pop_sig"), "{}", case.name);
}

fn verify(case: &mut Fields) {
    let key = trusted_key(&case.bytes("pk"));
    let signature = Signature::from_bytes(&case.bytes("sig")).unwrap();
    let message = case.bytes("message");
    let ordinary: bool = case.take("signature_ok");
    assert_eq!(key.verify(&signature, &message), ordinary, "{}", case.name);
    let possession: bool = case.take("pop_ok");
    let found = key.verify_proof_of_possession(&signature, &message);
    assert_eq!(found, possession, "{}", case.name);
}

/// A compressed key that may be any point of the curve, infinity included.
fn trusted_key(compressed: &[u8]) -> PublicKey {
    let mut bytes = [0; 96];
    bytes[..48].copy_from_slice(compressed);
    PublicKey::from_trusted_uncompressed(&bytes).unwrap()
}

fn public_key(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    if let Some(key) = expect_ok(case, PublicKey::from_compressed(&bytes)) {
        assert_eq!(key.to_compressed(), *bytes, "{}", case.name);
        assert_eq!(key.to_uncompressed(), *case.bytes("uncompressed"), "{}", case.name);
    }
}

fn public_key_uncompressed(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    let ok: bool = case.take("ok");
    // The type of the argument refuses every other length.
    let key = <&[u8; 96]>::try_from(bytes.as_slice())
        .ok()
        .and_then(|bytes| PublicKey::from_trusted_uncompressed(bytes).ok());
    assert_eq!(key.is_some(), ok, "{}", case.name);
    if let Some(key) = key {
        assert_eq!(key.to_compressed(), *case.bytes("compressed"), "{}", case.name);
    }
}

fn signature(case: &mut Fields) {
    let bytes = case.bytes("bytes");
    if let Some(signature) = expect_ok(case, Signature::from_bytes(&bytes)) {
        assert_eq!(signature.to_bytes(), *bytes, "{}", case.name);
    }
}

fn hex_list(case: &mut Fields, key: &str) -> Vec<Vec<u8>> {
    let texts: Vec<String> = case.or_default(key);
    texts.iter().map(|text| const_hex::decode(text).unwrap()).collect()
}

fn aggregate_public_keys(case: &mut Fields) {
    let keys: Vec<_> = hex_list(case, "pks").iter().map(|bytes| trusted_key(bytes)).collect();
    if let Some(sum) = expect(case, PublicKey::aggregate(&keys)) {
        assert_eq!(sum.to_compressed(), *case.bytes("result"), "{}", case.name);
    }
}

fn aggregate_signatures(case: &mut Fields) {
    let signatures: Vec<_> =
        hex_list(case, "sigs").iter().map(|bytes| Signature::from_bytes(bytes).unwrap()).collect();
    if let Some(sum) = expect(case, Signature::aggregate(&signatures)) {
        assert_eq!(sum.to_bytes(), *case.bytes("result"), "{}", case.name);
    }
}

fn proof(case: &mut Fields) {
    let proof = ProofOfPossession {
        public_key: case.bytes("pk").try_into().unwrap(),
        proof: case.bytes("proof").try_into().unwrap(),
    };
    let json: String = case.take("json");
    assert_eq!(serde_json::to_string(&proof).unwrap(), json, "{}", case.name);
    if let Some(key) = expect(case, proof.verify()) {
        assert_eq!(key.to_compressed(), proof.public_key, "{}", case.name);
    }
    if case.has("sk") {
        let key = SecretKey::from_bytes(&case.bytes("sk")).unwrap();
        assert_eq!(ProofOfPossession::new(&key), proof, "{}", case.name);
    }
}

fn proof_json(case: &mut Fields) {
    let json: String = case.take("json");
    let ok: bool = case.take("ok");
    let expected: Option<String> = case.maybe("error");
    match serde_json::from_str::<ProofOfPossession>(&json) {
        Ok(proof) => {
            assert!(ok && expected.is_none(), "{}", case.name);
            assert_eq!(proof.public_key, *case.bytes("pk"), "{}", case.name);
            assert_eq!(proof.proof, *case.bytes("proof"), "{}", case.name);
        }
        Err(error) => {
            assert!(!ok, "{}: {error}", case.name);
            // Upstream reads null as an object without keys, and so stumbles over the empty key.
            if json != "null" {
                let named = [BlsError::PublicKeyEncoding, BlsError::HexPrefix]
                    .into_iter()
                    .find(|&known| error.to_string() == known.to_string());
                assert_eq!(named.map(class), expected.as_deref(), "{}", case.name);
            }
        }
    }
}
