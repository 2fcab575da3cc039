use super::*;

fn epochs(accuracies: &[f64]) -> Vec<Epoch> {
    let epoch = |&accuracy: &f64| Epoch {
        accuracy: Some(accuracy),
        valid_loss: Some(1.0 - accuracy),
        ..Default::default()
    };
    accuracies.iter().map(epoch).collect()
}

#[test]
fn a_parting_is_where_values_differ_and_stay_apart() {
    let same = [1.0; 20];
    assert_eq!(Parting::of(&same, &same, |i| i), Parting { different: None, apart: None });
    let mut other = same;
    // A little, for one batch by far, and from the tenth on by far.
    other[2] = 1.05;
    other[4] = 9.0;
    other[10..].fill(1.2);
    assert_eq!(Parting::of(&same, &other, |i| i), Parting { different: Some(2), apart: Some(10) });
    // Only what both have is compared.
    assert_eq!(Parting::of(&same, &other[..12], |i| i).apart, None);
    let nan = [f64::NAN; 20];
    assert_eq!(Parting::of(&nan, &nan, |i| i).different, None);
    assert_eq!(Parting::of(&same, &nan, |i| i).apart, Some(0));
}

#[test]
fn batches_of_other_sizes_are_compared_by_their_epochs() {
    let (few, many) = ([2.0, 1.0], [2.5, 2.0, 1.5, 1.0]);
    let a = Run { losses: &few, epochs: epochs(&[0.5]), ..Default::default() };
    let b = Run { losses: &many, epochs: epochs(&[0.6]), ..Default::default() };
    let comparison = Comparison { a, b };
    assert_eq!(comparison.losses().different, None, "2.0 and 1.0 at the same places");
    let svg = comparison.loss_figure().svg();
    assert!(svg.contains(">epoch<") && !svg.contains("training batch"), "{svg}");
}

#[test]
fn the_page_has_both_and_what_differs() {
    let settings = |lr: &str| {
        [("lr", lr), ("net", "<simple>")].map(|(n, v)| (n.to_string(), v.to_string())).into()
    };
    let stats = |layer: &str| LayerStatsPlot {
        layer: layer.to_string(),
        mean: &[0.0, 0.1],
        std: &[1.0, 1.1],
        near_zero: &[0.5, 0.6],
        histograms: vec![[1; 40]; 2],
    };
    let a = Run {
        name: "runs/<1>".to_string(),
        settings: settings("0.1"),
        epochs: epochs(&[0.91]),
        losses: &[2.0, 1.0],
        smoothed: &[2.0, 1.5],
        lr: &[0.1, 0.1],
        momentum: &[0.9, 0.9],
        layers: vec![stats("0.0 Conv2d"), stats("0.2 BatchNorm2d")],
        ..Default::default()
    };
    let finding = Finding { failure: true, text: "dead".into(), advice: "less".into() };
    let b = Run {
        name: "b".to_string(),
        settings: settings("0.2"),
        epochs: epochs(&[0.5]),
        findings: vec![finding],
        losses: &[2.0, 1.25],
        layers: vec![stats("0.0 Conv2d")],
        ..a.clone()
    };
    let html = Comparison { a, b }.html();
    for part in [
        "A recognises 41.00 % more",
        "<td>lr</td><td>0.1</td><td>0.2</td>",
        "<dt>net</dt><dd>&lt;simple&gt;</dd>",
        "part in batch 1 (from 0): 1 in A, 1.25 in B",
        "<td>smoothed loss</td><td>never</td><td>never</td>",
        "runs/&lt;1&gt;",
        "Only in A: 0.2 BatchNorm2d",
        "<strong>dead</strong>",
        ">histograms, A<",
        ">histograms, B<",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    for loading in ["http:", "https:", "@import", "url(", "<script"] {
        assert!(!html.contains(loading), "{loading}");
    }
}

#[test]
fn runs_of_different_validation_images_are_not_ranked() {
    let run = |hash: &str, accuracy| Run {
        settings: vec![("validation sha256".to_string(), hash.to_string())],
        epochs: vec![Epoch { accuracy: Some(accuracy), ..Default::default() }],
        ..Default::default()
    };
    let html = Comparison { a: run("1", 0.5), b: run("2", 0.75) }.html();
    assert!(html.contains("validation images differ") && !html.contains("recognises"), "{html}");
    let html = Comparison { a: run("1", 0.5), b: run("1", 0.75) }.html();
    assert!(html.contains("B recognises 25.00 % more"), "{html}");
}

#[test]
fn nothing_recorded_is_no_panic() {
    let html = Comparison::default().html();
    assert!(!html.contains("NaN") && html.contains("Where they part"), "{html}");
}
