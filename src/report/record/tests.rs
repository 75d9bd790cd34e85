use super::*;

#[test]
fn the_record_of_an_edit_that_did_not_begin_has_no_further_fields() {
    let mut record = Record::new(Paths {
        image: "in/cat.png".into(),
        drag: Some("cat.json".into()),
        like: None,
        out: "in/cat.edited.png".into(),
    });
    record.fail(&Error::PromptTooLong {
        tokens: 90,
        limit: 77,
    });
    assert!(
        record.ended.take().is_some_and(|seconds| seconds > 1.7e9),
        "the current time"
    );
    let expected = concat!(
        r#"{"v":1,"id":"cat","status":"failed","image":"in/cat.png","drag":"cat.json","out":"in/cat.edited.png","warnings":[],"#,
        r#""error":{"kind":"instruction.prompt_too_long","#,
        r#""message":"the prompt has 90 tokens with its start and end mark; the text encoder reads 77","#,
        r#""hint":"shorten the prompt; it may be empty"}}"#,
    );
    assert_eq!(
        serde_json::to_string(&record).expect("a record is text and numbers"),
        expected
    );
}

#[test]
fn stages_keep_their_order() {
    let mut record = Record::new(Paths::default());
    record.seconds = vec![
        (Stage::Load, 0.94),
        (Stage::Encode, 0.123_456),
        (Stage::Decode, 2.0),
    ];
    let json = serde_json::to_string(&record).expect("a record is text and numbers");
    assert!(
        json.contains(r#""seconds":{"load":0.94,"encode":0.123,"decode":2.0}"#),
        "{json}"
    );
}

#[test]
fn an_interrupted_edit_is_not_a_failed_one() {
    let mut record = Record::new(Paths::default());
    record.fail(&Error::Interrupted { signal: 2 });
    assert_eq!(record.status, Status::Interrupted);
}
