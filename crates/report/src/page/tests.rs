use super::*;

fn network() -> Explorer {
    let layer = Layer {
        path: "0".to_string(),
        name: "Linear(in_features=1, out_features=2)".to_string(),
        shape: vec![2],
        kind: LayerKind::Linear { weight: vec![1.0, 2.0], bias: vec![] },
    };
    let sample = Sample {
        index: 7,
        label: "</script><b>".to_string(),
        prediction: "b".to_string(),
        input: vec![3.0],
        outputs: vec![vec![3.0, 6.0]],
    };
    Explorer { image_shape: vec![1, 1, 1], layers: vec![layer], samples: vec![sample] }
}

fn page() -> Page<'static> {
    let picture = Picture::image(&[0, 255], [1, 1, 2]).unwrap();
    let classes = ["<i>a".to_string(), "b".to_string()];
    Page {
        title: "<script>alert(1)</script>".to_string(),
        settings: vec![("data".to_string(), "/tmp/<x>&".to_string())],
        epochs: vec![Epoch { accuracy: Some(0.5), ..Default::default() }],
        judged: true,
        findings: vec![Finding {
            failure: true,
            text: "layer <0> died".to_string(),
            advice: "lower the rate".to_string(),
        }],
        losses: LossPlot { train: &[1.0], smoothed: &[1.0], valid: &[] },
        schedules: SchedulePlot { lr: &[0.1], momentum: &[] },
        batch: vec![Captioned { picture: picture.clone(), caption: "<i>a".to_string() }],
        layers: Table {
            columns: vec![("layer".to_string(), false)],
            rows: vec![vec!["<0>".to_string()]],
        },
        stats: vec![LayerStatsPlot { layer: "<0>".to_string(), ..Default::default() }],
        kernels: vec![Captioned { picture: picture.clone(), caption: "0".to_string() }],
        confusion: Confusion::new(&classes, [(0, 1)]).unwrap(),
        mistakes: vec![Mistake {
            picture,
            label: "<i>a".to_string(),
            prediction: "b".to_string(),
            probability: 0.9,
            loss: 2.5,
        }],
        explorer: Some(network()),
        matrix: Some(ConvolutionAsMatrix::default()),
    }
}

#[test]
fn sections_stand_in_their_order_with_the_verdict_first() {
    let html = page().html().unwrap();
    let ids = [
        "verdict",
        "loss",
        "schedule",
        "batch",
        "layers",
        "activations",
        "kernels",
        "confusion",
        "pairs",
        "mistakes",
        "trace",
        "matrix",
    ];
    let places: Vec<_> =
        ids.iter().map(|id| html.find(&format!("<section id=\"{id}\">"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    assert_eq!(html.matches("<section").count(), ids.len());
}

#[test]
fn what_is_empty_is_left_out() {
    let html = Page::default().html().unwrap();
    assert!(!html.contains("<section"), "{html}");
}

#[test]
fn nothing_that_a_user_wrote_is_markup() {
    let html = page().html().unwrap();
    for written in ["<script>alert", "</script><b>", "<i>a", "<x>", "<0>"] {
        assert!(!html.contains(written), "{written}");
    }
    assert!(html.contains("&lt;i&gt;a taken for b") && html.contains("\\u003c/script>"));
}

#[test]
fn nothing_is_loaded() {
    let html = page().html().unwrap();
    for loading in ["http:", "https:", "@import", "url(", " src=\"/", "<link rel=\"stylesheet"] {
        assert!(!html.contains(loading), "{loading}");
    }
    let sources = html.split("src=\"").skip(1);
    assert!(sources.into_iter().all(|source| source.starts_with("data:")));
}

#[test]
fn the_verdict_says_what_is_wrong_or_that_nothing_is() {
    let html = page().html().unwrap();
    assert!(html.contains("layer &lt;0&gt; died") && html.contains("50.00 %"), "{html}");
    let well = Page { findings: vec![], ..page() }.html().unwrap();
    assert!(well.contains("Nothing looks wrong"), "{well}");
    let short = Page { findings: vec![], judged: false, ..page() }.html().unwrap();
    assert!(short.contains("Too few batches") && !short.contains("Nothing looks"), "{short}");
    let finding = page().findings.remove(0);
    let twice = Page { findings: vec![finding.clone(), finding], ..page() }.html().unwrap();
    assert_eq!(twice.matches("lower the rate").count(), 1, "{twice}");
}

#[test]
fn a_network_without_a_value_for_each_activation_is_refused() {
    let mut explorer = network();
    explorer.samples[0].outputs[0].pop();
    assert!(Page { explorer: Some(explorer), ..page() }.html().is_err());
}
