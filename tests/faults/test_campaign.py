"""The short form of the fault campaign: one round of each fault."""

import pytest
from faults import campaign

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def undisturbed(tmp_path_factory):
    campaign.prepare(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("fault", campaign.FAULTS)
def test_a_round_holds(fault, tmp_path):
    one = campaign.play(1 + list(campaign.FAULTS).index(fault), fault, tmp_path)
    assert one.broken == []
    assert not one.lost or fault == "workspace deleted"


def test_the_report_names_what_did_not_hold(tmp_path):
    one = campaign.play(1, "SIGTERM", tmp_path)
    said = campaign.report([one])
    assert "| SIGTERM | 1 | 1 | 0 |" in said and "Every round held." in said
    one.broken.append("a row was lost")
    said = campaign.report([one])
    assert "| SIGTERM | 1 | 0 | 0 |" in said and "- Round 1, SIGTERM: a row was lost." in said
