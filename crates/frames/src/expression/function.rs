//! What can be called in an expression: SQL's own functions, shorthands, and a pipeline's kernels.

use crate::aligned::Kernel;

/// A call of a kernel: the column that it is over, and constants.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// A column of numbers of the table; hidden where the argument was an expression.
    pub column: &'a str,
    /// The further arguments.
    pub constants: &'a [f64],
}

/// Makes a kernel for a call; the error is what is wrong with its arguments.
pub type MakeKernel = dyn Fn(&Call<'_>) -> Result<Kernel, String> + Send + Sync;

/// What a call of a function means.
pub enum Meaning {
    /// SQL's own.
    Sql,
    /// Short for another expression, written from the texts of the arguments.
    Short {
        /// How many arguments there may be.
        arguments: std::ops::RangeInclusive<usize>,
        /// Writes it.
        write: fn(&[String]) -> String,
    },
    /// A kernel over a column, with constants.
    Kernel {
        /// How many constants there may be behind the column.
        constants: std::ops::RangeInclusive<usize>,
        /// Makes it.
        make: Box<MakeKernel>,
    },
}

/// A function, for whoever writes expressions.
pub struct Function {
    /// Its name, in lower case.
    pub name: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it gives, in one sentence.
    pub about: &'static str,
    /// An expression that uses it.
    pub example: &'static str,
    /// What it means.
    pub meaning: Meaning,
}

const fn sql(name: &'static str, usage: &'static str, about: &'static str, example: &'static str) -> Function {
    Function { name, usage, about, example, meaning: Meaning::Sql }
}

/// SQL's functions that an expression may call, and shorthands that need nothing of a pipeline.
pub fn sql_functions() -> Vec<Function> {
    let mut all = vec![
        sql("abs", "abs(x)", "absolute value", "abs(fx_1)"),
        sql("sign", "sign(x)", "-1, 0 or 1", "sign(vx_1)"),
        sql("sqrt", "sqrt(x)", "square root; null below 0", "sqrt(abs(fx_1))"),
        sql("cbrt", "cbrt(x)", "cube root", "cbrt(fx_1)"),
        sql("pow", "pow(x, p)", "power", "pow(fx_1, 2)"),
        sql("exp", "exp(x)", "e to the power of x", "exp(-abs(vx_1) / 100)"),
        sql("ln", "ln(x)", "natural logarithm; null below 0", "ln(1 + abs(fx_1))"),
        sql("log10", "log10(x)", "decimal logarithm", "log10(1 + abs(fx_1))"),
        sql("floor", "floor(x)", "the integer below", "floor(x_1)"),
        sql("ceil", "ceil(x)", "the integer above", "ceil(x_1)"),
        sql("round", "round(x, digits)", "rounded to so many digits", "round(fx_1 / 3, 2)"),
        sql("sin", "sin(x)", "sine of radians", "sin(radians(x_1))"),
        sql("cos", "cos(x)", "cosine of radians", "cos(radians(x_1))"),
        sql("tan", "tan(x)", "tangent of radians", "tan(radians(x_1) / 100)"),
        sql("asin", "asin(x)", "arc sine, radians", "asin(fx_1 / (1 + abs(fx_1)))"),
        sql("acos", "acos(x)", "arc cosine, radians", "acos(fx_1 / (1 + abs(fx_1)))"),
        sql("atan", "atan(x)", "arc tangent, radians", "atan(fx_1)"),
        sql("atan2", "atan2(y, x)", "angle of a vector, radians", "atan2(vy_1, vx_1)"),
        sql("degrees", "degrees(x)", "radians as degrees", "degrees(atan2(vy_1, vx_1))"),
        sql("radians", "radians(x)", "degrees as radians", "radians(x_1)"),
        sql("greatest", "greatest(x, y, …)", "the largest that is not null", "greatest(abs(fx_1), abs(fy_1))"),
        sql("least", "least(x, y, …)", "the smallest that is not null", "least(x_1, y_1)"),
        sql("coalesce", "coalesce(x, y, …)", "the first that is not null", "coalesce(vx_1, 0)"),
        sql("nullif", "nullif(x, y)", "x, or null where both are equal", "fx_1 / nullif(round(fy_1, 0), 0)"),
        sql("if", "if(condition, x, y)", "x where the condition holds, else y", "if(f1 > 255, 1.0, 0.0)"),
        sql("avg", "avg(x)", "mean over the run's rows, in every row", "fx_1 - avg(fx_1)"),
        sql("sum", "sum(x)", "sum over the run's rows, in every row", "fx_1 / sum(abs(fx_1))"),
        sql("min", "min(x)", "smallest of the run", "x_1 - min(x_1)"),
        sql("max", "max(x)", "largest of the run", "f1 / max(f1)"),
        sql("median", "median(x)", "median of the run", "fx_1 - median(fx_1)"),
        sql("stddev", "stddev(x)", "standard deviation of the run (n - 1)", "(fx_1 - avg(fx_1)) / stddev(fx_1)"),
    ];
    all.push(Function {
        name: "magnitude",
        usage: "magnitude(x, y, …)",
        about: "Euclidean norm of components; null where one is",
        example: "magnitude(fx_1, fy_1, fz_1)",
        meaning: Meaning::Short {
            arguments: 1..=16,
            write: |parts| {
                let squares: Vec<String> = parts.iter().map(|part| format!("({part}) * ({part})")).collect();
                format!("sqrt({})", squares.join(" + "))
            },
        },
    });
    all.push(Function {
        name: "clip",
        usage: "clip(x, low, high)",
        about: "x, not below low and not above high; null where x is",
        example: "clip(fx_1, -1, 1)",
        meaning: Meaning::Short {
            arguments: 3..=3,
            write: |parts| {
                let [x, low, high] = parts else { return String::new() };
                format!("(case when ({x}) < ({low}) then ({low}) when ({x}) > ({high}) then ({high}) else ({x}) end)")
            },
        },
    });
    all
}
