use super::*;
use crate::format::samples::{CONTEXT, OWN_CONTEXT, awkward_records, catalogue_records, own};
use crate::format::{Class, Context, Profiles, Version};
use crate::record::RecordView;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

fn rows(encoder: &mut Parquet, records: &[Vec<u8>], context: Context<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let record = RecordView::parse(record).unwrap();
        encoder.encode(&Entry { record: &record, context, enrichment: None }, &mut out);
    }
    out
}

fn kinds() -> Vec<Rows> {
    let all = Profiles { cloud: true, datetime: true, host: true, security_control: true };
    vec![
        Rows::Flat,
        Rows::Ocsf(OcsfOptions::default()),
        Rows::Ocsf(OcsfOptions { profiles: all, ..OcsfOptions::default() }),
        Rows::Ocsf(OcsfOptions { version: Version::V1_3, ..OcsfOptions::default() }),
        Rows::Ocsf(OcsfOptions { version: Version::V1_3, class: Class::WebResourcesActivity, profiles: all }),
    ]
}

/// What is left of a JSON value without empty objects and nulls, times as numbers aside.
fn plain(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) => {
            let map: serde_json::Map<_, _> =
                map.iter().filter_map(|(key, value)| Some((key.clone(), plain(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        Value::Array(list) => {
            let list: Vec<Value> = list.iter().filter_map(plain).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        other => Some(other.clone()),
    }
}

/// Takes the times out: columns have them as logical types.
fn without_times(mut value: Value) -> Value {
    for name in [
        "event.start",
        "event.end",
        "time",
        "start_time",
        "end_time",
        "time_dt",
        "start_time_dt",
        "end_time_dt",
    ] {
        if let Some(map) = value.as_object_mut() {
            map.remove(name);
        }
    }
    plain(&value).unwrap()
}

#[test]
fn every_row_comes_back_from_its_columns_whatever_is_in_it() {
    for kind in kinds() {
        let mut encoder = Parquet::new(kind, &[("deployment".to_owned(), "x".to_owned())]);
        let mut text = rows(&mut encoder, &catalogue_records(), CONTEXT);
        text.extend(rows(&mut encoder, &awkward_records(), CONTEXT));
        text.extend(rows(&mut encoder, &[own()], OWN_CONTEXT));
        let Framing::Columns(layout) = encoder.framing() else { panic!("columns") };
        let file = layout.write(&text, Vec::new()).unwrap();
        assert_eq!(file, layout.write(&text, Vec::new()).unwrap(), "equal rows give equal bytes");
        let batches = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
            bytes::Bytes::from(file.clone()),
        );
        // The writer of JSON knows no name of a time zone: times are looked at below.
        let times_off = |batch: arrow_array::RecordBatch| {
            let schema = batch.schema();
            let is_time = |at: &usize| matches!(schema.field(*at).data_type(), DataType::Timestamp(..));
            let kept: Vec<usize> = (0..batch.num_columns()).filter(|at| !is_time(at)).collect();
            batch.project(&kept).unwrap()
        };
        let batches: Vec<_> = batches.unwrap().build().unwrap().map(Result::unwrap).map(times_off).collect();
        let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
        writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
        writer.finish().unwrap();
        let back = String::from_utf8(writer.into_inner()).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(back.lines().count(), text.lines().count(), "{kind:?}");
        for (back, row) in back.lines().zip(text.lines()) {
            let [back, row] = [back, row].map(|line| without_times(serde_json::from_str(line).unwrap()));
            assert_eq!(back, row, "{kind:?}");
        }
        let metadata = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
        assert_eq!(metadata.metadata().num_row_groups(), 1);
    }
}

/// The one row group of a file of these rows.
fn group(rows_are: Rows) -> parquet::file::metadata::RowGroupMetaData {
    let mut encoder = Parquet::new(rows_are, &[]);
    let text = rows(&mut encoder, &catalogue_records(), CONTEXT);
    let Framing::Columns(layout) = encoder.framing() else { panic!("columns") };
    let file = layout.write(&text, Vec::new()).unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 1);
    reader.metadata().row_group(0).clone()
}

#[test]
fn columns_have_what_makes_readers_fast() {
    let web = OcsfOptions { class: Class::WebResourcesActivity, ..OcsfOptions::default() };
    for (rows_are, ids, time, repeated) in [
        (Rows::Flat, vec!["event.id", "actor.id", "resource.id"], "event.start", "http.route"),
        (
            Rows::Ocsf(OcsfOptions::default()),
            vec!["metadata.uid", "actor.user.uid", "resources.list.element.uid"],
            "time",
            "api.operation",
        ),
        (
            Rows::Ocsf(web),
            vec!["metadata.uid", "web_resources.list.element.uid"],
            "time",
            "metadata.log_name",
        ),
    ] {
        let group = group(rows_are);
        let column =
            |name: &str| group.columns().iter().find(|c| c.column_path().string() == name).unwrap().clone();
        for one in group.columns() {
            let path = one.column_path().string();
            assert!(matches!(one.compression(), Compression::ZSTD(_)), "{path}");
            assert_eq!(one.bloom_filter_offset().is_some(), ids.contains(&path.as_str()), "{path}");
            let statistics = one.statistics().unwrap_or_else(|| panic!("{path} has statistics"));
            let some = statistics.null_count_opt() < Some(one.num_values() as u64);
            assert!(!some || statistics.min_bytes_opt().is_some(), "{path}");
        }
        let start = column(time);
        assert!(format!("{:?}", start.column_descr().logical_type_ref()).contains("Timestamp"), "{time}");
        assert!(column(repeated).dictionary_page_offset().is_some(), "{repeated}");
        assert!(column(ids[0]).dictionary_page_offset().is_none(), "each id is there once");
    }
}

#[test]
fn an_object_of_a_catalogue_is_no_larger_than_flat_lines() {
    let mut encoder = Parquet::new(Rows::Flat, &[]);
    let text = rows(&mut encoder, &catalogue_records(), CONTEXT);
    let Framing::Columns(layout) = encoder.framing() else { panic!("columns") };
    // A management API's own paths: dictionaries and zstd against gzip.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    gzip.write_all(&text).unwrap();
    let (columns, lines) = (layout.write(&text, Vec::new()).unwrap().len(), gzip.finish().unwrap().len());
    assert!(columns <= lines, "{columns} bytes of Parquet, {lines} of flat lines");
}
