use pyo3::prelude::*;

#[pyfunction]
fn double(n: i64) -> i64 {
    2 * n
}

#[pymodule]
fn truewheel_demo(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(double, m)?)
}
