"""Routes of the adoption roadmap."""

from django.urls import path

from business.roadmap import views

app_name = "roadmap"
urlpatterns = [
    path("roadmap/", views.roadmap, name="roadmap"),
    path("roadmap/create/", views.make_plan, name="create"),
    path("roadmap/roadmap.csv", views.as_csv, name="csv"),
    path("roadmap/roadmap.json", views.as_json, name="json"),
    path("roadmap/phases/<uuid:phase_id>/", views.edit_phase, name="phase"),
    path("roadmap/phases/<uuid:phase_id>/new-task/", views.new_task, name="new_task"),
    path("roadmap/tasks/<uuid:task_id>/", views.edit_task, name="task"),
    path("roadmap/tasks/<uuid:task_id>/delete/", views.delete_task, name="delete_task"),
]
