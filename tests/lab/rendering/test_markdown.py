import re

from sharpkit.lab.rendering.markdown import markdown


def test_every_cell_and_verdict_is_there(outcomes):
    text = markdown(outcomes, "Found")
    assert text.startswith("# Found\n\n## ")
    shown = re.sub(r"\\(.)", r"\1", text).replace("&lt;", "<")  # as a reader sees it
    for outcome in outcomes:
        assert f"### {outcome.network}, {outcome.preset}" in shown
        assert outcome.data in shown
        for claim in outcome.claims:
            assert f"| {claim.text} | {claim.decision} | {claim.detail} |" in shown
        for table in outcome.tables:
            for row in table.rows:
                assert f"| {' | '.join(row)} |" in shown
        assert all(f"- {note}" in shown for note in outcome.notes)
    assert "<" not in text


def test_tables_have_as_many_cells_in_every_line(outcomes):
    block = []
    for line in markdown(outcomes, "Found").splitlines():
        if line.startswith("|"):
            block.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(block)) <= 1
            block = []
