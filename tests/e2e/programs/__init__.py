"""Real programs and what they do with an origin, as a table.

    row.py        one line of the table: program, action, the check of it
    archive.py    an application that records whatever is published
    scene.py      the origin, the clips and the folder that all rows share
    ffmpeg.py …   the rows of one program each
    report.py     the table as markdown

`python -m tests.e2e.programs` runs all of it; tests/e2e/test_programs.py the same, as tests.
"""
