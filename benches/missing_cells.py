"""Fills in cells that were taken out of tables at random: the error of elbo beside scikit-learn's imputers.

    pip install scikit-learn
    python benches/missing_cells.py --elbo target/release/elbo

Three tables that come with scikit-learn, 30 % of whose cells are taken out, by seeds 0, 1 and 2. Prints the root mean
squared error of what was taken out, each column divided by its standard deviation. scikit-learn's imputers get the columns
standardised by the cells that are there; elbo gets a CSV in their own units, and no option but the seed.
"""

import argparse
import csv
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

TABLES = {"wine": load_wine, "diabetes": load_diabetes, "breast_cancer": load_breast_cancer}


def filled_by_elbo(elbo, table, seed):
    """The table, whose missing cells are NaN, with these filled in."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.csv", Path(folder) / "out.csv"
        with open(data, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(f"column {i}" for i in range(table.shape[1]))
            rows.writerows(["" if np.isnan(v) else repr(float(v)) for v in row] for row in table)
        train = ["train", "--data", data, "--run", Path(folder) / "run", "--seed", str(seed)]
        impute = ["impute", Path(folder) / "run", "--out", out]
        for arguments in (train, impute):
            subprocess.run([elbo, *arguments, "--device", "cpu"], check=True, capture_output=True)
        return np.loadtxt(out, delimiter=",", skiprows=1)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--elbo", default="target/release/elbo")
    options.add_argument("--missing", type=float, default=0.3)
    options = options.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    print("| table | seed | mean | KNNImputer | IterativeImputer | elbo |")
    print("|---|---|---|---|---|---|")
    for name, load in TABLES.items():
        whole = load().data
        for seed in range(3):
            gone = np.random.default_rng(seed).random(whole.shape) < options.missing
            table = np.where(gone, np.nan, whole)
            mean, deviation = np.nanmean(table, 0), np.nanstd(table, 0)
            standardised = (table - mean) / deviation

            def error(filled):
                return np.sqrt(np.mean(((filled - whole) / whole.std(0))[gone] ** 2))

            imputers = [KNNImputer(), IterativeImputer(random_state=seed, max_iter=10)]
            errors = [error(np.broadcast_to(mean, whole.shape))]
            errors += [error(i.fit_transform(standardised) * deviation + mean) for i in imputers]
            errors.append(error(filled_by_elbo(options.elbo, table, seed)))
            print(f"| {name} | {seed} | " + " | ".join(f"{e:.3f}" for e in errors) + " |", flush=True)


if __name__ == "__main__":
    main()
