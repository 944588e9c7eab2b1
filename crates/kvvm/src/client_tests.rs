use sastrugi_types::Id;

use super::*;

const TARGET: Target = Target { network_id: 1, chain_id: Id([2; 32]) };

#[test]
fn key_files_come_back() {
    let key = Key::from_seed(&[7; 32]);
    let digits = "07".repeat(32);
    for text in [
        key.to_file(),
        digits.clone(),
        format!(" 0x{digits}\n"),
        format!("{{\"seed\": \"0x{digits}\"}}"),
    ] {
        assert_eq!(Key::from_file(&text).unwrap().account(), key.account());
    }
    let other = Key::from_seed(&[8; 32]).account();
    let wrong = key.to_file().replace(&key.account().to_string(), &other.to_string());
    for text in ["", "0x07", "{}", "zz", &digits[2..], &wrong] {
        assert!(matches!(Key::from_file(text), Err(ClientError::KeyFile(_))), "{text}");
    }
}

#[test]
fn keys_are_not_shown() {
    let key = Key::from_seed(&[7; 32]);
    assert_eq!(format!("{key:?}"), format!("Key({})", key.account()));
}

#[test]
fn operations_are_put_in_order() {
    let key = Key::from_seed(&[7; 32]);
    let transaction = key.sign(TARGET, 0, vec![put("b", "2"), delete("a")]).unwrap();
    assert_eq!(transaction.operations(), [delete("a"), put("b", "2")]);
    assert!(key.sign(TARGET, 0, vec![put("a", "2"), delete("a")]).is_err());
}

#[test]
fn answers_are_read() {
    let target: Target =
        answer(json!({ "jsonrpc": "2.0", "id": 1, "result": TARGET }).to_string().as_bytes())
            .unwrap();
    assert_eq!(target, TARGET);
    let refused = answer::<Target>(br#"{"error": {"code": -32000, "message": "no"}, "id": 1}"#);
    assert!(matches!(refused, Err(ClientError::Refused { code: -32_000, .. })));
    assert!(matches!(answer::<Target>(b"<html>"), Err(ClientError::Malformed(_))));
    assert!(matches!(answer::<Target>(b"[]"), Err(ClientError::Malformed(_))));
}
