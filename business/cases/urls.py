"""Routes of the business cases."""

from django.urls import path

from business.cases import views

app_name = "cases"
urlpatterns = [
    path("cases/", views.cases, name="cases"),
    path("cases/new/", views.new_case, name="new_case"),
    path("cases/<uuid:case_id>/", views.case, name="case"),
    path("cases/<uuid:case_id>/edit/", views.edit_case, name="edit"),
    path("cases/<uuid:case_id>/risks/", views.edit_risks, name="risks"),
    path("cases/<uuid:case_id>/make/", views.make_version, name="make"),
    path("cases/<uuid:case_id>/delete/", views.delete_case, name="delete"),
    path("cases/<uuid:case_id>/case.pdf", views.pdf, name="pdf"),
    path("cases/<uuid:case_id>/case.docx", views.docx, name="docx"),
]
