"""Routes of the case studies: which there are is known, so none takes an id."""

from django.urls import path

from business.studies import views
from case_studies.study import SLUGS

app_name = "studies"
urlpatterns = [path("case-studies/", views.studies, name="studies")]
for slug in SLUGS:
    known = {"slug": slug}
    urlpatterns += [
        path(f"case-studies/{slug}/", views.study, known, name=slug),
        path(f"case-studies/{slug}/study.pdf", views.pdf, known, name=f"{slug}-pdf"),
        path(f"case-studies/{slug}/result.json", views.result, known, name=f"{slug}-json"),
    ]
