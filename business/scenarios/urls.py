"""Routes of the scenarios."""

from django.urls import path

from business.scenarios import api
from business.scenarios.views import acting, editing, files, reading, realised

app_name = "scenarios"
urlpatterns = [
    path("roi/", reading.scenarios, name="scenarios"),
    path("roi/new/", editing.new_scenario, name="new_scenario"),
    path("roi/estimate/", editing.estimate, name="estimate"),
    path("roi/import/", files.import_file, name="import_file"),
    path("roi/compare/", reading.compare, name="compare"),
    path("roi/shared/<uuid:link_id>/", reading.shared, name="shared"),
    path("roi/links/<uuid:link_id>/revoke/", acting.revoke_shared, name="revoke"),
    path("roi/simulations/<uuid:simulation_id>/", acting.simulation, name="simulation"),
    path("roi/<uuid:scenario_id>/", reading.scenario, name="scenario"),
    path("roi/<uuid:scenario_id>/edit/", editing.edit_scenario, name="edit_scenario"),
    path("roi/<uuid:scenario_id>/history/", reading.history, name="history"),
    path("roi/<uuid:scenario_id>/duplicate/", acting.duplicate_scenario, name="duplicate"),
    path("roi/<uuid:scenario_id>/delete/", acting.delete_scenario, name="delete"),
    path("roi/<uuid:scenario_id>/share/", acting.share_scenario, name="share"),
    path("roi/<uuid:scenario_id>/simulate/", acting.simulate_longer, name="simulate"),
    path("roi/<uuid:scenario_id>/realised/", realised.realised, name="realised"),
    path(
        "roi/<uuid:scenario_id>/realised/record/", realised.record_realised, name="record_realised"
    ),
    path("roi/<uuid:scenario_id>/scenario.json", files.scenario_json, name="scenario_json"),
    path("roi/<uuid:scenario_id>/scenario.csv", files.scenario_csv, name="scenario_csv"),
    path("roi/<uuid:scenario_id>/scenario.xlsx", files.scenario_xlsx, name="scenario_xlsx"),
    path("api/v1/roi/compute", api.compute, name="api_compute"),
    path("api/v1/roi/scenarios", api.scenarios, name="api_scenarios"),
    path("api/v1/roi/scenarios/<uuid:scenario_id>", api.scenario, name="api_scenario"),
]
