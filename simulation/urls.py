"""Routes of the simulation app."""

from django.urls import path

from simulation import downloads, uploads, views

app_name = "simulation"
urlpatterns = [
    path("runs/", views.runs, name="runs"),
    path("runs/new/", views.new_run, name="new_run"),
    path("runs/estimate/", views.estimate, name="estimate"),
    path("runs/bodies/", uploads.bodies_files, name="bodies_files"),
    path("runs/bodies/upload/", uploads.upload_bodies, name="upload_bodies"),
    path("runs/bodies/<uuid:file_id>/", uploads.bodies_file, name="bodies_file"),
    path("runs/bodies/<uuid:file_id>/bodies.csv", uploads.bodies_csv, name="bodies_csv"),
    path("runs/bodies/<uuid:file_id>/delete/", uploads.delete_bodies, name="delete_bodies"),
    path("runs/plotly-<str:version>.min.js", downloads.plotly_js, name="plotly_js"),
    path("runs/<uuid:run_id>/", views.run, name="run"),
    path("runs/<uuid:run_id>/progress/", views.run_progress, name="run_progress"),
    path("runs/<uuid:run_id>/cancel/", views.cancel_run, name="cancel_run"),
    path("runs/<uuid:run_id>/again/", views.rerun_run, name="rerun_run"),
    path("runs/<uuid:run_id>/frame.bin", downloads.frame_bin, name="frame"),
    path("runs/<uuid:run_id>/series.json", downloads.series_json, name="series"),
    path("runs/<uuid:run_id>/summary.json", downloads.summary_json, name="summary"),
    path("runs/<uuid:run_id>/state.npz", downloads.final_state_npz, name="state_npz"),
    path("runs/<uuid:run_id>/state.csv", downloads.final_state_csv, name="state_csv"),
    path("quotas/", views.quotas, name="quotas"),
    path("quotas/request/", views.request_quota, name="request_quota"),
]
